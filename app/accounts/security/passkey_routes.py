"""The passkeys of one's own account: adding, renaming, removing."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import browser_tokens, passkey_browser
from app.accounts.forms import NewPasskeyForm, PasskeyNameForm
from app.accounts.guards import Owner, of_owner
from app.accounts.pages import codes_page, proof_form, proof_of, refused, succeeded
from app.accounts.security.forms import ProofForm
from app.accounts.security.passkey_proof import options_of_account
from app.accounts.security.passkey_registration import AddFault, begin_adding, finish_adding
from app.accounts.security.passkeys import MOST, passkey_of, remove_passkey, rename_passkey
from app.accounts.security.relying_party import RelyingParty, relying_party
from app.core.errors import NotFound, TooManyRequests
from app.models import ChallengePurpose
from app.web.responses import with_retry_after

bp = Blueprint("passkeys", __name__, url_prefix="/account/passkeys")

_ADD_FORM = "accounts/_new_passkey.html"
_LIST = "accounts/_passkeys.html"


@bp.get("")
@of_owner
def show(owner: Owner) -> ResponseReturnValue:
    """Where somebody comes back to whose session ended at a form."""
    return redirect(url_for("account.show"))


@bp.post("/options")
@of_owner
def options(owner: Owner) -> ResponseReturnValue:
    """What the browser needs to make a passkey, once name and password are right."""
    site = _site()
    form = NewPasskeyForm()
    if not form.validate():
        return refused(_ADD_FORM, owner, 422, new_passkey=form)
    try:
        begun = begin_adding(
            owner.user_id,
            owner.email,
            owner.token,
            form.passkey_password.data or "",
            site=site,
            site_name=_("B-Portal"),
            browser=passkey_browser(),
            remote_address=request.remote_addr or "",
            browser_tokens=browser_tokens(),
        )
    except TooManyRequests as refusal:
        form.passkey_password.errors = [refusal.message]
        return with_retry_after(refused(_ADD_FORM, owner, 429, new_passkey=form), refusal)
    if begun is AddFault.PASSWORD:
        form.passkey_password.errors = [_("This is not your current password. Check it and try again.")]
        return refused(_ADD_FORM, owner, 422, new_passkey=form)
    if isinstance(begun, AddFault):
        return _not_added(owner, form, begun, site)
    return make_response(begun, {"Content-Type": "application/json"})


@bp.post("")
@of_owner
def add(owner: Owner) -> ResponseReturnValue:
    site = _site()
    form = NewPasskeyForm(has_password=False)
    if not form.validate():
        return refused(_ADD_FORM, owner, 422, new_passkey=form)
    added = finish_adding(
        owner.user_id,
        owner.token,
        form.passkey_name.data or "",
        request.form.get("credential", ""),
        site=site,
        browser=passkey_browser(),
    )
    if isinstance(added, AddFault):
        return _not_added(owner, form, added, site)
    message = _("Your passkey is added. From now on you can sign in with it.")
    return codes_page(owner, added, message) if added else succeeded(message)


@bp.post("/step-up/options")
@of_owner
def step_up_options(owner: Owner) -> ResponseReturnValue:
    """What the browser needs to ask for a passkey before a sensitive change."""
    asked = options_of_account(owner.user_id, ChallengePurpose.STEP_UP, _site(), passkey_browser())
    return make_response(asked, {"Content-Type": "application/json"})


@bp.post("/<uuid:passkey_id>")
@of_owner
def rename(owner: Owner, passkey_id: UUID) -> ResponseReturnValue:
    form = PasskeyNameForm()
    if not form.validate():
        return refused(_LIST, owner, 422, renaming=(passkey_id, form))
    rename_passkey(owner.user_id, owner.token, passkey_id, form.passkey_name.data or "")
    return succeeded(_("The passkey's name is saved."))


@bp.get("/<uuid:passkey_id>")
@of_owner
def back(owner: Owner, passkey_id: UUID) -> ResponseReturnValue:
    """Where somebody comes back to whose session ended at a form."""
    return redirect(url_for("account.show"))


@bp.get("/<uuid:passkey_id>/remove")
@of_owner
def ask_to_remove(owner: Owner, passkey_id: UUID) -> ResponseReturnValue:
    return _removal(owner, passkey_id, proof_form(owner, is_sent=False), 200)


@bp.post("/<uuid:passkey_id>/remove")
@of_owner
def remove(owner: Owner, passkey_id: UUID) -> ResponseReturnValue:
    name = passkey_of(owner.user_id, passkey_id).name
    form = proof_form(owner)
    try:
        if not form.validate() or not remove_passkey(proof_of(owner, form), passkey_id):
            form.blame()
            return _removal(owner, passkey_id, form, 422)
    except TooManyRequests as refusal:
        form.blame(refusal.message)
        return with_retry_after(_removal(owner, passkey_id, form, 429), refusal)
    return succeeded(_("The passkey “%(name)s” is removed.", name=name))


def _removal(owner: Owner, passkey_id: UUID, form: ProofForm, status: int) -> Response:
    passkey = passkey_of(owner.user_id, passkey_id)
    return make_response(render_template("accounts/remove_passkey.html", passkey=passkey, form=form), status)


def _site() -> RelyingParty:
    site = relying_party()
    if site is None:
        raise NotFound
    return site


def _not_added(owner: Owner, form: NewPasskeyForm, fault: AddFault, site: RelyingParty) -> Response:
    sentences = {
        AddFault.TOO_MANY: _(
            "You have %(most)s passkeys, which is the most an account can have. Remove one first.", most=MOST
        ),
        AddFault.EXISTS: _("This passkey belongs to an account already, so it wasn't added."),
        AddFault.LATE: _("No passkey was added: that took too long, or was sent before. Please try again."),
    }
    invalid = _(
        "No passkey was added: what your browser sent couldn't be verified. Open this page at %(address)s and try"
        " again.",
        address=site.origin,
    )
    return refused(_ADD_FORM, owner, 422, new_passkey=form, passkey_fault=sentences.get(fault, invalid))
