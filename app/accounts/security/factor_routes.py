"""The second factor of one's own account: setting up an authenticator app, recovery codes, removing."""

from __future__ import annotations

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.guards import Owner, of_owner
from app.accounts.pages import codes_page, proof_by, proof_form, proof_of
from app.accounts.security import own_factors
from app.accounts.security.forms import AppCodeForm, BeginForm, ProofForm, wrong_code, wrong_password
from app.accounts.security.key_picture import grouped, qr_code
from app.accounts.security.recovery import shown_codes
from app.accounts.security.totp import address_of_key
from app.core.errors import NotFound, TooManyRequests
from app.web.responses import with_retry_after

bp = Blueprint("own_factors", __name__, url_prefix="/account/second-factor")

_SET_UP = "totp_set_up"
_ISSUER = "Bakuun"
"""What the app calls the service. Whatever portal somebody comes from, the account is the same."""


@bp.get("")
@of_owner
def show(owner: Owner) -> ResponseReturnValue:
    return _page(owner)


@bp.post("")
@of_owner
def begin(owner: Owner) -> ResponseReturnValue:
    """The password is asked for, so that nobody who finds an open session locks the owner out."""
    form = BeginForm()
    if not form.validate():
        return make_response(_page(owner, begin_form=form), 422)
    try:
        kept = own_factors.begin_set_up(proof_by(owner, password=form.password.data or ""))
    except TooManyRequests as refusal:
        form.password.errors = [refusal.message]
        return with_retry_after(make_response(_page(owner, begin_form=form), 429), refusal)
    if kept is None:
        form.password.errors = [wrong_password()]
        return make_response(_page(owner, begin_form=form), 422)
    session[_SET_UP] = kept
    return redirect(url_for("own_factors.show"), 303)


@bp.get("/confirm")
@bp.get("/cancel")
@of_owner
def back(owner: Owner) -> ResponseReturnValue:
    """Where somebody comes back to whose session ended at a form."""
    return redirect(url_for("own_factors.show"))


@bp.post("/confirm")
@of_owner
def confirm(owner: Owner) -> ResponseReturnValue:
    key = _key(owner)
    if key is None:
        flash(_("This set-up has ended. Begin again, and scan the new code."))
        return redirect(url_for("own_factors.show"), 303)
    form = AppCodeForm()
    codes = None
    if form.validate():
        codes = own_factors.confirm_set_up(owner.user_id, owner.token, key, form.code.data or "")
        if codes is None:
            form.code.errors = [wrong_code()]
    if codes is None:
        return make_response(_page(owner, code_form=form), 422)
    session.pop(_SET_UP, None)
    message = _("Your authenticator app is set up. From now on you need it to sign in.")
    if codes:
        return codes_page(owner, codes, message)
    flash(message)
    return redirect(url_for("own_factors.show"), 303)


@bp.post("/cancel")
@of_owner
def cancel(owner: Owner) -> ResponseReturnValue:
    session.pop(_SET_UP, None)
    return redirect(url_for("account.show"), 303)


@bp.get("/recovery-codes")
@of_owner
def ask_for_codes(owner: Owner) -> ResponseReturnValue:
    if not own_factors.own_factors(owner.user_id).is_protected:
        return redirect(url_for("own_factors.show"))
    return _proof_page("recovery_codes", proof_form(owner, is_sent=False), 200)


@bp.post("/recovery-codes")
@of_owner
def make_codes(owner: Owner) -> ResponseReturnValue:
    form = proof_form(owner)
    try:
        codes = own_factors.remake_recovery_codes(proof_of(owner, form)) if form.validate() else None
    except TooManyRequests as refusal:
        return _too_many("recovery_codes", form, refusal)
    if codes is None:
        return _not_proved("recovery_codes", form)
    return codes_page(owner, codes, _("You have new recovery codes. The earlier ones no longer work."))


@bp.get("/recovery-codes.txt")
@of_owner
def back_from_codes(owner: Owner) -> ResponseReturnValue:
    return redirect(url_for("own_factors.show"))


@bp.post("/recovery-codes.txt")
@of_owner
def download_codes(owner: Owner) -> ResponseReturnValue:
    """The codes as a file. The page that shows them posts them, since they are kept nowhere else."""
    codes = shown_codes(request.form.getlist("code"))
    if not codes:
        raise NotFound
    text = render_template("accounts/recovery_codes.txt", owner=owner, codes=codes)
    response = make_response(text)
    response.mimetype = "text/plain"
    response.headers["Content-Disposition"] = "attachment; filename=recovery-codes.txt"
    return response


@bp.get("/remove")
@of_owner
def ask_to_remove(owner: Owner) -> ResponseReturnValue:
    if own_factors.own_factors(owner.user_id).app_since is None:
        return redirect(url_for("own_factors.show"))
    return _proof_page("remove", proof_form(owner, is_sent=False), 200)


@bp.post("/remove")
@of_owner
def remove(owner: Owner) -> ResponseReturnValue:
    form = proof_form(owner)
    try:
        if not form.validate() or not own_factors.remove_app(proof_of(owner, form)):
            return _not_proved("remove", form)
    except TooManyRequests as refusal:
        return _too_many("remove", form, refusal)
    flash(_("The authenticator app is removed."))
    return redirect(url_for("account.show"), 303)


def _not_proved(action: str, form: ProofForm) -> Response:
    form.blame()
    return _proof_page(action, form, 422)


def _too_many(action: str, form: ProofForm, refusal: TooManyRequests) -> Response:
    form.blame(refusal.message)
    return with_retry_after(_proof_page(action, form, 429), refusal)


def _proof_page(action: str, form: ProofForm, status: int) -> Response:
    return make_response(render_template("accounts/prove_owner.html", action=action, form=form), status)


def _key(owner: Owner) -> str | None:
    return own_factors.key_in_set_up(session.get(_SET_UP, ""), owner.token)


def _page(owner: Owner, *, begin_form: BeginForm | None = None, code_form: AppCodeForm | None = None) -> str:
    factors = own_factors.own_factors(owner.user_id)
    key = _key(owner) if factors.app_since is None else None
    if key is None:
        form = begin_form or BeginForm(formdata=None)
        return render_template("accounts/second_factor_settings.html", owner=owner, factors=factors, form=form)
    address = address_of_key(key, owner.email, _ISSUER)
    return render_template(
        "accounts/set_up_app.html",
        address=address,
        picture=qr_code(address),
        key=grouped(key),
        form=code_form or AppCodeForm(formdata=None),
    )
