"""The pages behind the two links of a change of an account's address. They belong to the other mailed links' blueprint.

GET and HEAD change nothing. A person confirms or refuses by pressing a button.
"""

from __future__ import annotations

from functools import partial

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.accounts.current import signed_in_user
from app.accounts.notices import language_of_account
from app.core.errors import Conflict
from app.core.links import LinkKind
from app.registration.email_confirmation import (
    DeadChange,
    Outcome,
    ShownChange,
    confirm_change,
    look_up_change,
    refuse_change,
)
from app.registration.guards import PAGES, bp
from app.web.locale import speak


@bp.app_errorhandler(DeadChange)
def _dead_change(dead: DeadChange) -> Response:
    return make_response(render_template("registration/email_change_dead.html", state=dead.state), 410)


@bp.get(f"/{LinkKind.EMAIL_CHANGE}/<token>")
def email_change(token: str) -> ResponseReturnValue:
    return _page(LinkKind.EMAIL_CHANGE, token)


@bp.post(f"/{LinkKind.EMAIL_CHANGE}/<token>")
def confirm_email_change(token: str) -> ResponseReturnValue:
    return _confirm(LinkKind.EMAIL_CHANGE, token)


@bp.post(f"/{LinkKind.EMAIL_CHANGE}/<token>/refuse")
def refuse_email_change(token: str) -> ResponseReturnValue:
    return _refuse(LinkKind.EMAIL_CHANGE, token)


@bp.get(f"/{LinkKind.NEW_EMAIL}/<token>")
def new_email(token: str) -> ResponseReturnValue:
    return _page(LinkKind.NEW_EMAIL, token)


@bp.post(f"/{LinkKind.NEW_EMAIL}/<token>")
def confirm_new_email(token: str) -> ResponseReturnValue:
    return _confirm(LinkKind.NEW_EMAIL, token)


@bp.post(f"/{LinkKind.NEW_EMAIL}/<token>/refuse")
def refuse_new_email(token: str) -> ResponseReturnValue:
    return _refuse(LinkKind.NEW_EMAIL, token)


@bp.get("/email-changed")
def email_changed() -> ResponseReturnValue:
    return render_template("registration/email_changed.html")


@bp.get("/email-change-refused/<any(present, new):by>")
def email_change_refused(by: str) -> ResponseReturnValue:
    """Confirms it. Whoever has the present address should also choose a new password."""
    return render_template("registration/email_change_refused.html", is_owner=by == "present")


def _confirm(kind: LinkKind, token: str) -> ResponseReturnValue:
    change = _opened(kind, token)
    user = signed_in_user()
    session_token = user.get_id() if user is not None and user.id == change.user_id else None
    try:
        outcome = confirm_change(kind, token, session_token)
    except Conflict as conflict:
        return _page(kind, token, conflict.message, 409)
    match outcome:
        case Outcome.TAKEN:
            return make_response(render_template("registration/email_change_taken.html", change=change), 409)
        case Outcome.CHANGED:
            return redirect(url_for("registration.email_changed"), 303)
        case Outcome.WAITING:
            return redirect(url_for(_PAGE_OF[kind], token=token), 303)


def _refuse(kind: LinkKind, token: str) -> ResponseReturnValue:
    refuse_change(kind, token)
    by = "present" if kind is LinkKind.EMAIL_CHANGE else "new"
    return redirect(url_for("registration.email_change_refused", by=by), 303)


def _page(kind: LinkKind, token: str, problem: str | None = None, status: int = 200) -> Response:
    page = render_template(
        "registration/email_change.html",
        change=_opened(kind, token),
        is_new=kind is LinkKind.NEW_EMAIL,
        confirm_url=url_for(_PAGE_OF[kind], token=token),
        problem=problem,
    )
    return make_response(page, status)


def _opened(kind: LinkKind, token: str) -> ShownChange:
    """The change behind a link. Sets this browser's language to its account's. Raises `NotFound`, `DeadChange`."""
    change = look_up_change(kind, token)
    speak(language_of_account(change.user_id))
    return change


_PAGE_OF = {LinkKind.EMAIL_CHANGE: "registration.email_change", LinkKind.NEW_EMAIL: "registration.new_email"}
for _kind in _PAGE_OF:
    PAGES[_kind] = partial(_page, _kind)
