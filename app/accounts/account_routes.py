"""A person's own account: name, password, and where they are signed in.

For whoever has signed in with an account of ours. Who was handed over by a host shell gets the 404 of a page that does
not exist: their shell looks after their account.
"""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import login_user, logout_user

from app.accounts import own_account
from app.accounts.current import browser_tokens, remember_browser
from app.accounts.forms import NameForm
from app.accounts.guards import Owner, of_owner
from app.accounts.pages import account_page, password_form_of, refused, succeeded
from app.accounts.password_change import change_password
from app.accounts.users import user_of_session
from app.core.errors import TooManyRequests
from app.web.cookies import empty_session
from app.web.responses import wants_fragment, with_retry_after

bp = Blueprint("account", __name__, url_prefix="/account")


@bp.get("")
@of_owner
def show(owner: Owner) -> ResponseReturnValue:
    return account_page(owner)


@bp.post("")
@of_owner
def rename(owner: Owner) -> ResponseReturnValue:
    form = NameForm()
    if not form.validate():
        return refused("accounts/_name.html", owner, 422, form=form)
    own_account.rename(owner.user_id, owner.token, form.name.data or "")
    return succeeded(_("Your name is saved."))


@bp.get("/password")
@of_owner
def password(owner: Owner) -> ResponseReturnValue:
    """Where somebody comes back to whose session ended at the form."""
    return redirect(url_for("account.show"))


@bp.post("/password")
@of_owner
def set_password(owner: Owner) -> ResponseReturnValue:
    form = password_form_of(owner)
    if not form.validate() or not form.is_confirmed():
        return refused("accounts/_password.html", owner, 422, password_form=form)
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
        return with_retry_after(refused("accounts/_password.html", owner, 429, password_form=form), refusal)
    if changed is None:
        form.current_password.errors = [_("This is not your current password. Check it and try again.")]
        return refused("accounts/_password.html", owner, 422, password_form=form)
    # As at sign-in, nothing of the former session survives.
    empty_session()
    login_user(user_of_session(changed.session_token))
    response = succeeded(_("Your new password is saved. All your other sessions have ended."))
    return remember_browser(response, changed.browser_token)


@bp.post("/sessions/<shown_id>/end")
@of_owner
def end_session(owner: Owner, shown_id: str) -> ResponseReturnValue:
    if own_account.end_session(owner.user_id, owner.token, shown_id):
        logout_user()
        empty_session()
        return _leave(url_for("identity.login"))
    return succeeded(_("That session has ended."))


@bp.post("/sessions/end-others")
@of_owner
def end_other_sessions(owner: Owner) -> ResponseReturnValue:
    ended = own_account.end_other_sessions(owner.user_id, owner.token)
    if not ended:
        return succeeded(_("You have no other sessions."))
    return succeeded(ngettext("%(num)s other session has ended.", "%(num)s other sessions have ended.", ended))


def _leave(location: str) -> ResponseReturnValue:
    return ("", 200, {"HX-Redirect": location}) if wants_fragment() else redirect(location, 303)
