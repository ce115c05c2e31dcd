"""Signing in with a passkey: in place of the password, or after it."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import browser_tokens, passkey_browser, tokens_of_browser
from app.accounts.forms import LoginForm
from app.accounts.guards import complete_sign_in
from app.accounts.pages import login_page
from app.accounts.security.passkey_sign_in import PasskeyFault, sign_in_options, sign_in_with_passkey
from app.accounts.security.relying_party import RelyingParty, relying_party
from app.core.errors import NotFound, TooManyRequests
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
        return complete_sign_in(outcome, next_path) or login_page(form, 422, passkey_fault=_late())
    return login_page(form, 422, passkey_fault=_sentence(outcome, site))


def _site() -> RelyingParty:
    site = relying_party()
    if site is None:
        raise NotFound
    return site


def _as_json(text: str) -> Response:
    return make_response(text, {"Content-Type": "application/json"})


def _late() -> str:
    return _("That took too long, or was sent before. Please try again.")


def _sentence(fault: PasskeyFault, site: RelyingParty) -> str:
    match fault:
        case PasskeyFault.UNKNOWN:
            return _("This passkey opens no account here; it may have been removed. Sign in with your password instead.")
        case PasskeyFault.LATE:
            return _late()
        case PasskeyFault.COPIED:
            return _(
                "This passkey was refused because someone may have copied it. Sign in another way, remove it from your"
                " account, and add a new one."
            )
        case PasskeyFault.INVALID:
            return _(
                "This passkey couldn't be verified. Open the sign-in page at %(address)s and try again, or use your"
                " password.",
                address=site.origin,
            )
