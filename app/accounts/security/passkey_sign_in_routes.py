"""Signing in with a passkey: in place of the password, or after it."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import browser_tokens, passkey_browser, tokens_of_browser
from app.accounts.forms import LoginForm
from app.accounts.guards import complete_sign_in, pending_token
from app.accounts.pages import login_page, password_first, second_step_page
from app.accounts.security.forms import SignInCodeForm
from app.accounts.security.passkey_proof import PasskeyProof, options_of_account
from app.accounts.security.passkey_sign_in import sign_in_options, sign_in_with_passkey
from app.accounts.security.pending import PendingEnded, look_up_pending
from app.accounts.security.relying_party import RelyingParty, relying_party
from app.accounts.security.webauthn_answers import PasskeyFault
from app.accounts.sign_in import finish_sign_in
from app.core.errors import NotFound, TooManyRequests
from app.models import ChallengePurpose
from app.web.responses import local_path, with_retry_after

bp = Blueprint("passkey_sign_in", __name__, url_prefix="/login")


@bp.post("/passkey/options")
def options() -> ResponseReturnValue:
    """What the browser needs to ask for a passkey, of whichever account."""
    return _as_json(sign_in_options(_site(), passkey_browser(), request.remote_addr or ""))


@bp.post("/passkey")
def answer() -> ResponseReturnValue:
    site = _site()
    form = LoginForm()
    next_path = local_path(form.next.data)
    try:
        outcome = sign_in_with_passkey(
            request.form.get("credential", ""),
            site=site,
            browser=passkey_browser(),
            remote_address=request.remote_addr or "",
            browser_tokens=browser_tokens(),
            sessions_before=tokens_of_browser(),
        )
    except TooManyRequests as refusal:
        return with_retry_after(login_page(form, 429, passkey_fault=refusal.message), refusal)
    if not isinstance(outcome, PasskeyFault):
        return complete_sign_in(outcome, next_path) or login_page(
            form, 422, passkey_fault=_sentence(PasskeyFault.LATE, site)
        )
    return login_page(form, 422, passkey_fault=_sentence(outcome, site))


@bp.post("/second-factor/passkey/options")
def second_step_options() -> ResponseReturnValue:
    """What the browser needs to ask for a passkey of the account whose password was right."""
    try:
        pending = look_up_pending(pending_token())
    except PendingEnded:
        return make_response("", {"HX-Redirect": password_first(request.form.get("next")).location})
    asked = options_of_account(pending.user_id, ChallengePurpose.SECOND_STEP, _site(), passkey_browser())
    return _as_json(asked)


@bp.post("/second-factor/passkey")
def second_step() -> ResponseReturnValue:
    site = _site()
    form = SignInCodeForm()
    proof = PasskeyProof(
        request.form.get("credential", ""),
        ChallengePurpose.SECOND_STEP,
        site,
        passkey_browser(),
        request.remote_addr or "",
        browser_tokens(),
    )
    try:
        signed_in = finish_sign_in(
            pending_token(), proof, browser_tokens=browser_tokens(), sessions_before=tokens_of_browser()
        )
        if signed_in is None:
            return second_step_page(form, 422, passkey_fault=_second_sentence(proof.fault, site))
    except TooManyRequests as refusal:
        return with_retry_after(second_step_page(form, 429, passkey_fault=refusal.message), refusal)
    except PendingEnded:
        return password_first(form.next.data)
    return complete_sign_in(signed_in, local_path(form.next.data)) or password_first(form.next.data)


def _site() -> RelyingParty:
    site = relying_party()
    if site is None:
        raise NotFound
    return site


def _as_json(text: str) -> Response:
    return make_response(text, {"Content-Type": "application/json"})


def _sentence(fault: PasskeyFault, site: RelyingParty) -> str:
    if fault is PasskeyFault.UNKNOWN:
        return _("This passkey opens no account here; it may have been removed. Sign in with your password instead.")
    return _common_sentence(fault, site)


def _second_sentence(fault: PasskeyFault | None, site: RelyingParty) -> str:
    if fault is PasskeyFault.UNKNOWN:
        return _("This passkey isn't one of this account's; it may have been removed. Try another one.")
    return _common_sentence(fault or PasskeyFault.LATE, site)


def _common_sentence(fault: PasskeyFault, site: RelyingParty) -> str:
    if fault is PasskeyFault.LATE:
        return _("That took too long, or was sent before. Please try again.")
    if fault is PasskeyFault.COPIED:
        return _(
            "This passkey was refused because someone may have copied it. Sign in another way, remove it from your"
            " account, and add a new one."
        )
    return _(
        "This passkey couldn't be verified. Open the sign-in page at %(address)s and try again, or sign in another"
        " way.",
        address=site.origin,
    )
