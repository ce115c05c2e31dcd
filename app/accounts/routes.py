"""Signing in and out."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import logout_user

from app.accounts.current import browser_tokens, handed_over, signed_in_user, tokens_of_browser
from app.accounts.forms import LoginForm
from app.accounts.guards import complete_sign_in, landing_page, remember_pending
from app.accounts.pages import login_page
from app.accounts.sign_in import SecondFactorNeeded, sign_in
from app.accounts.users import sign_out
from app.core.errors import TooManyRequests
from app.extensions import login as login_manager
from app.web.cookies import empty_session
from app.web.responses import current_page, embedding, local_path, page_of_form, wants_fragment, with_retry_after

bp = Blueprint("identity", __name__)


@login_manager.unauthorized_handler
def _sign_in_first() -> ResponseReturnValue:
    """The sign-in page, which leads back to the very view that somebody was in and says so if a session has ended."""
    if wants_fragment():
        if embedding():
            # We cannot navigate the host shell's page. Our script in it asks the host shell for a new session.
            return "", 401
        # A sign-in page must never appear inside a table. The whole browser goes there, and returns to this page.
        shown = current_page()
        return "", 401, {"HX-Redirect": url_for("identity.login", next=shown, ended="" if shown else None)}
    wanted = request.full_path.rstrip("?") if request.method == "GET" else page_of_form()
    return redirect(url_for("identity.login", next=wanted, ended="" if _was_at_work() else None))


def _was_at_work() -> bool:
    """Whether a session has ended, as far as the browser tells: it holds its token, or comes from a page of ours."""
    is_of_portal = "portal_id" in (request.view_args or {})
    return bool(tokens_of_browser()) or (is_of_portal and request.headers.get("Sec-Fetch-Site") == "same-origin")


@bp.get("/")
def home() -> ResponseReturnValue:
    user = signed_in_user()
    if user is None:
        return redirect(url_for("portals.choose") if handed_over() else url_for("identity.login"))
    return redirect(landing_page(user.id))


@bp.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    form = LoginForm(next=request.args.get("next", ""))
    next_path = local_path(form.next.data)
    if request.method == "GET" and (user := signed_in_user()):
        return redirect(next_path or landing_page(user.id))
    if form.validate_on_submit():
        try:
            signed_in = sign_in(
                form.email.data or "",
                form.password.data or "",
                remote_address=request.remote_addr or "",
                browser_tokens=browser_tokens(),
                sessions_before=tokens_of_browser(),
            )
        except TooManyRequests as problem:
            form.email.errors = [problem.message]
            return with_retry_after(login_page(form, 429), problem)
        if isinstance(signed_in, SecondFactorNeeded):
            remember_pending(signed_in.token)
            return redirect(url_for("second_factor.ask", next=next_path), 303)
        answer = complete_sign_in(signed_in, next_path) if signed_in else None
        if answer is not None:
            return answer
        form.email.errors = [_("Incorrect email address or password. Check both and try again.")]
    return login_page(form, 422 if form.is_submitted() else 200)


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    _end_sessions()
    logout_user()
    empty_session()
    return redirect(local_path(request.form.get("next")) or url_for("identity.login"), 303)


def _end_sessions() -> None:
    if tokens := tokens_of_browser():
        sign_out(tokens)
