"""Deleting one's own account: what that means, the form, and the page for whoever has no account any more."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import logout_user

from app.accounts.current import browser_tokens
from app.accounts.forms import CurrentPasswordForm
from app.accounts.guards import Owner, of_owner
from app.clients.account_deletion import StillLastAdmin, delete_account, what_goes
from app.core.errors import TooManyRequests
from app.web.cookies import empty_session
from app.web.responses import with_retry_after

bp = Blueprint("account_deletion", __name__, url_prefix="/account")


@bp.get("/delete")
@of_owner
def ask(owner: Owner) -> ResponseReturnValue:
    return _page(owner, CurrentPasswordForm(formdata=None))


@bp.post("/delete")
@of_owner
def delete(owner: Owner) -> ResponseReturnValue:
    form = CurrentPasswordForm()
    if not form.validate() or not form.is_confirmed():
        return _page(owner, form, 422)
    try:
        is_deleted = delete_account(
            owner.user_id,
            owner.email,
            owner.token,
            form.current_password.data or "",
            remote_address=request.remote_addr or "",
            browser_tokens=browser_tokens(),
        )
    except TooManyRequests as refusal:
        form.current_password.errors = [refusal.message]
        return with_retry_after(_page(owner, form, 429), refusal)
    except StillLastAdmin:
        return _page(owner, form, 409)
    if not is_deleted:
        form.current_password.errors = [_("This is not your current password. Check it and try again.")]
        return _page(owner, form, 422)
    logout_user()
    empty_session()
    return redirect(url_for("account_deletion.deleted"), 303)


@bp.get("/deleted")
def deleted() -> ResponseReturnValue:
    """For whoever has just deleted their account. It says nothing of anybody, so anybody may see it."""
    return render_template("accounts/deleted.html")


def _page(owner: Owner, form: CurrentPasswordForm, status: int = 200) -> Response:
    page = render_template("accounts/delete.html", owner=owner, leaving=what_goes(owner.user_id), form=form)
    return make_response(page, status)
