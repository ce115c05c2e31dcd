"""Asking for a second factor before a sensitive change (`app.accounts.security.step_up`): what was typed is kept.

There are two ways. A form that holds a password asks in the form itself (`StepUpInForm`), because a password never
stands in a page of ours. Any other post is guarded by `stepped_up`: a page between asks for the code, carries what was
typed, and then does what was asked for. Both take a passkey too: `passkeys.js` sends what it signs with the same form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from flask import Response, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from wtforms import StringField

from app.accounts.current import browser_tokens, passkey_browser, signed_in_user, the_user
from app.accounts.security.codes import check_code
from app.accounts.security.factors import FactorKind, factors_of
from app.accounts.security.forms import wrong_code, wrong_recovery_code
from app.accounts.security.passkey_proof import PasskeyProof
from app.accounts.security.relying_party import RelyingParty, relying_party
from app.accounts.security.step_up import confirm, needs_step_up
from app.accounts.security.webauthn_answers import PasskeyFault
from app.core.errors import TooManyRequests
from app.core.forms import TextForm
from app.core.i18n import lazy
from app.models import ChallengePurpose, User
from app.web.responses import current_page, local_path, opening_dialog, page_of_form, wants_fragment, with_retry_after

_CODE, _CREDENTIAL = "step_up_code", "step_up_credential"
_OURS = ("csrf_token", _CODE, _CREDENTIAL, "step_up_back")
_SECRET = "password"


@dataclass(frozen=True)
class Ways:
    """By what somebody can show a second factor, besides a recovery code."""

    has_app: bool
    passkey_site: RelyingParty | None
    """Where the account's passkeys work. None if it has none, or they work nowhere."""


def _ways_of(user: User) -> Ways:
    factors = factors_of(user.id)
    site = relying_party() if FactorKind.PASSKEY in factors else None
    if site is not None:
        passkey_browser()
    return Ways(FactorKind.TOTP in factors, site)


class StepUpForm(TextForm):
    """The code that the page between asks for."""

    step_up_code = StringField(lazy("Code"))
    ways: Ways | None = None
    """Of whoever is to be asked."""


class StepUpInForm(StepUpForm):
    """The base of forms that hold a password. The field of the code is there for whoever is to be asked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        user = signed_in_user()
        if user is None or not needs_step_up(user):
            del self.step_up_code
        else:
            self.ways = _ways_of(user)

    @property
    def asks_for_code(self) -> bool:
        return "step_up_code" in self

    def is_confirmed(self) -> bool:
        """Whether nobody has to be asked any more. Call it last: a right code is used up. Raises `SessionEnded`."""
        if not self.asks_for_code:
            return True
        try:
            fault = _fault()
        except TooManyRequests as refusal:
            fault = refusal.message
        if fault is not None:
            self.step_up_code.errors = [fault]
            return False
        del self.step_up_code
        return True


def stepped_up(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Guard a post of something sensitive, below the guard that says who may do it.

    Whoever is to be asked gets a page, or with htmx a dialog, that asks for a code and carries the texts of the form.
    It posts to the same address, and then the view does what it was asked for. Raises `SessionEnded`.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        if request.method != "POST" or not needs_step_up(the_user()):
            return view(*args, **kwargs)
        form = StepUpForm()
        if not {_CODE, _CREDENTIAL} & request.form.keys():
            return _ask(form, 200)
        try:
            fault = _fault()
        except TooManyRequests as refusal:
            form.step_up_code.errors = [refusal.message]
            return with_retry_after(_ask(form, 429), refusal)
        if fault is not None:
            form.step_up_code.errors = [fault]
            return _ask(form, 422)
        return view(*args, **kwargs)

    return guarded


def _fault() -> str | None:
    """Why the passkey or the code that was posted does not do, or None once it has confirmed the session.

    A passkey counts before a code, if both were posted. Raises `TooManyRequests`, and `SessionEnded`.
    """
    user = the_user()
    user_id, token = user.id, user.get_id()
    credential = request.form.get(_CREDENTIAL, "")
    if credential:
        return _fault_of_passkey(user_id, token, credential)
    code = request.form.get(_CODE, "").strip()
    ways = _ways_of(user)
    if not code:
        return _("Enter a code.") if ways.has_app or not ways.passkey_site else _("Use your passkey, or enter a code.")
    if confirm(user_id, token, partial(check_code, code=code, browser_tokens=browser_tokens())):
        return None
    return wrong_code() if ways.has_app else wrong_recovery_code()


def _fault_of_passkey(user_id: int, token: str, credential: str) -> str | None:
    site = relying_party()
    if site is None:
        return _("Your passkeys can't be used at this address any more. Use a code.")
    proof = PasskeyProof(
        credential,
        ChallengePurpose.STEP_UP,
        site,
        passkey_browser(),
        request.remote_addr or "",
        browser_tokens(),
    )
    return None if confirm(user_id, token, proof) else _sentence(proof.fault, site)


def _sentence(fault: PasskeyFault | None, site: RelyingParty) -> str:
    if fault is PasskeyFault.UNKNOWN:
        return _("This passkey isn't one of this account's; it may have been removed. Try another one.")
    if fault is PasskeyFault.COPIED:
        return _(
            "This passkey was refused because someone may have copied it. Use a code, then remove it from your account"
            " and add a new one."
        )
    if fault is PasskeyFault.INVALID:
        return _(
            "This passkey couldn't be verified. Open this page at %(address)s and try again, or use a code.",
            address=site.origin,
        )
    return _("That took too long, or was sent before. Please try again.")


def _ask(form: StepUpForm, status: int) -> Response:
    form.ways = _ways_of(the_user())
    template = "accounts/_step_up.html" if wants_fragment() else "accounts/step_up.html"
    carried = [
        (name, text)
        for name, texts in request.form.lists()
        if name not in _OURS and _SECRET not in name
        for text in texts
    ]
    came_from = local_path(request.form.get("step_up_back")) or current_page() or page_of_form()
    page = render_template(
        template,
        is_dialog=wants_fragment(),
        form=form,
        carried=carried,
        address=request.script_root + request.full_path.rstrip("?"),
        back=came_from or url_for("portals.choose"),
    )
    response = make_response(page, status)
    return opening_dialog(response) if wants_fragment() else response
