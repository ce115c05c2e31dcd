"""A person's own account: name, address, password, and where they are signed in.

For whoever has signed in with an account of ours. Who was handed over by a host shell gets the 404 of a page that does
not exist: their shell looks after their account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import login_user, logout_user

from app.accounts import own_account
from app.accounts.current import browser_tokens, handed_over, remember_browser, signed_in_user
from app.accounts.email_change import cancel_change, pending_change, request_change
from app.accounts.forms import EmailForm, NameForm, PasswordForm
from app.accounts.last_seen import note_seen, seen_session
from app.accounts.own_account import SessionEnded
from app.accounts.password_change import change_password
from app.accounts.users import names_around, user_of_session
from app.core.errors import NotFound, TooManyRequests
from app.extensions import login
from app.models import User
from app.web.cookies import empty_session
from app.web.responses import succeeded_with_notice, wants_fragment, with_retry_after

bp = Blueprint("account", __name__, url_prefix="/account")


@dataclass(frozen=True)
class Owner:
    """Who asks, as the account was when the request began."""

    user_id: int
    token: str
    """Of their session."""
    name: str
    email: str
    has_password: bool


def _of_owner(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Guard a view of one's own account. The view is called with the `Owner`."""

    @wraps(view)
    def guarded(**kwargs: Any) -> ResponseReturnValue:
        user = signed_in_user()
        if user is None:
            if handed_over():
                raise NotFound
            return cast(ResponseReturnValue, login.unauthorized())
        if not user.is_verified:
            return _verify_first()
        seen = seen_session(user)
        try:
            response = view(_owner(user), **kwargs)
        except SessionEnded:
            return cast(ResponseReturnValue, login.unauthorized())
        note_seen(seen)
        return response

    guarded.needs_session = True  # type: ignore[attr-defined]
    return guarded


@bp.get("")
@_of_owner
def show(owner: Owner) -> ResponseReturnValue:
    return _page(owner)


@bp.post("")
@_of_owner
def rename(owner: Owner) -> ResponseReturnValue:
    form = NameForm()
    if not form.validate():
        return _refused("accounts/_name.html", owner, 422, form=form)
    own_account.rename(owner.user_id, owner.token, form.name.data or "")
    return _succeeded(_("Your name is saved."))


@bp.get("/password")
@_of_owner
def password(owner: Owner) -> ResponseReturnValue:
    """Where somebody comes back to whose session ended at the form."""
    return redirect(url_for("account.show"))


@bp.post("/password")
@_of_owner
def set_password(owner: Owner) -> ResponseReturnValue:
    form = _password_form(owner)
    if not form.validate():
        return _refused("accounts/_password.html", owner, 422, password_form=form)
    try:
        changed = change_password(
            owner.user_id,
            owner.email,
            owner.token,
            form.current_password.data or "",
            form.new_password.data or "",
            remote_address=request.remote_addr or "",
            browser_tokens=browser_tokens(),
        )
    except TooManyRequests as refusal:
        form.current_password.errors = [refusal.message]
        return with_retry_after(_refused("accounts/_password.html", owner, 429, password_form=form), refusal)
    if changed is None:
        form.current_password.errors = [_("This is not your current password. Check it and try again.")]
        return _refused("accounts/_password.html", owner, 422, password_form=form)
    # As at sign-in, nothing of the former session survives.
    empty_session()
    login_user(user_of_session(changed.session_token))
    response = _succeeded(_("Your new password is saved. All your other sessions have ended."))
    return remember_browser(response, changed.browser_token)


@bp.get("/email")
@_of_owner
def email(owner: Owner) -> ResponseReturnValue:
    """Where somebody comes back to whose session ended at the form."""
    return redirect(url_for("account.show"))


@bp.post("/email")
@_of_owner
def change_email(owner: Owner) -> ResponseReturnValue:
    """Asks both addresses to confirm. The answer is the same whether or not the new one has an account."""
    form = EmailForm(owner.email)
    if not form.validate():
        return _refused("accounts/_email.html", owner, 422, email_form=form, change=pending_change(owner.user_id))
    try:
        is_right = request_change(
            owner.user_id,
            owner.email,
            owner.token,
            form.email.data or "",
            form.current_password.data or "",
            remote_address=request.remote_addr or "",
            browser_tokens=browser_tokens(),
        )
    except TooManyRequests as refusal:
        form.current_password.errors = [refusal.message]
        answer = _refused("accounts/_email.html", owner, 429, email_form=form, change=pending_change(owner.user_id))
        return with_retry_after(answer, refusal)
    if not is_right:
        form.current_password.errors = [_("This is not your current password. Check it and try again.")]
        return _refused("accounts/_email.html", owner, 422, email_form=form, change=pending_change(owner.user_id))
    return _succeeded(_("We sent an email to both addresses. Your address changes once you have confirmed both."))


@bp.post("/email/cancel")
@_of_owner
def cancel_email(owner: Owner) -> ResponseReturnValue:
    if cancel_change(owner.user_id, owner.token):
        return _succeeded(_("The change was cancelled. Your email address stays the same."))
    return _succeeded(_("There was nothing to cancel."))


@bp.post("/sessions/<shown_id>/end")
@_of_owner
def end_session(owner: Owner, shown_id: str) -> ResponseReturnValue:
    if own_account.end_session(owner.user_id, owner.token, shown_id):
        logout_user()
        empty_session()
        return _leave(url_for("identity.login"))
    return _succeeded(_("That session has ended."))


@bp.post("/sessions/end-others")
@_of_owner
def end_other_sessions(owner: Owner) -> ResponseReturnValue:
    ended = own_account.end_other_sessions(owner.user_id, owner.token)
    if not ended:
        return _succeeded(_("You have no other sessions."))
    return _succeeded(ngettext("%(num)s other session has ended.", "%(num)s other sessions have ended.", ended))


def _owner(user: User) -> Owner:
    return Owner(user.id, user.get_id(), user.name, user.email, bool(user.password_hash))


def _password_form(owner: Owner) -> PasswordForm:
    user = signed_in_user()
    return PasswordForm(owner.email, names_around(user) if user is not None else [owner.name])


def _succeeded(message: str) -> Response:
    return succeeded_with_notice(message, url_for("account.show"))


def _refused(part: str, owner: Owner, status: int, **forms: object) -> Response:
    """The form with what is wrong: for htmx alone, else in its page."""
    if wants_fragment():
        return make_response(render_template(part, owner=owner, **forms), status)
    return make_response(_page(owner, **forms), status)


def _verify_first() -> ResponseReturnValue:
    notice = url_for("registration.verify_notice", next=url_for("account.show"))
    return ("", 401, {"HX-Redirect": notice}) if wants_fragment() else redirect(notice, 303)


def _leave(location: str) -> ResponseReturnValue:
    return ("", 200, {"HX-Redirect": location}) if wants_fragment() else redirect(location, 303)


def _page(owner: Owner, **forms: object) -> str:
    return render_template(
        "accounts/account.html",
        owner=owner,
        sessions=own_account.sessions_of(owner.user_id, owner.token),
        form=forms.get("form") or NameForm(formdata=None, name=owner.name),
        email_form=forms.get("email_form") or EmailForm(owner.email),
        change=forms["change"] if "change" in forms else pending_change(owner.user_id),
        password_form=forms.get("password_form") or _password_form(owner),
    )
