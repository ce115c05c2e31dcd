"""The page of one's own account, and that of signing in: what several views make."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, make_response, redirect, render_template, request, url_for

from app.accounts import own_account
from app.accounts.current import browser_tokens, passkey_browser, signed_in_user
from app.accounts.email_change import pending_change
from app.accounts.forms import EmailForm, LoginForm, NameForm, NewPasskeyForm, PasswordForm
from app.accounts.guards import Owner, pending_token
from app.accounts.security.factors import FactorKind, factors_of
from app.accounts.security.forms import ProofForm, SignInCodeForm
from app.accounts.security.own_factors import own_factors
from app.accounts.security.owner_proof import OwnerProof
from app.accounts.security.passkeys import passkeys_of
from app.accounts.security.pending import look_up_pending
from app.accounts.security.relying_party import relying_party
from app.accounts.users import names_around
from app.audit.caller import present_caller
from app.core.user_agents import read_device
from app.web.responses import local_path, succeeded_with_notice, wants_fragment


def login_page(form: LoginForm, status: int, passkey_fault: str | None = None) -> Response:
    """The page of signing in. `passkey_fault`: why a passkey was refused."""
    site = relying_party()
    if site is not None:
        passkey_browser()
    page = render_template(
        "accounts/login.html",
        form=form,
        is_locked=status == 429,
        passkey_site=site,
        passkey_fault=passkey_fault,
        problem=passkey_fault,
    )
    return make_response(page, status)


def second_step_page(form: SignInCodeForm, status: int, passkey_fault: str | None = None) -> Response:
    """The page of the second step, for the pending sign-in of this browser. Raises `PendingEnded`."""
    pending = look_up_pending(pending_token())
    passkey_browser()
    page = render_template(
        "accounts/second_factor.html",
        email=pending.email,
        form=form,
        factors=factors_of(pending.user_id),
        is_recovering=is_recovering(),
        passkey_site=relying_party(),
        passkey_fault=passkey_fault,
        problem=passkey_fault,
    )
    return make_response(page, status)


def is_recovering() -> bool:
    """Whether the page asks for a recovery code. It takes either kind of code all the same."""
    return "recovery" in request.args


def password_first(wanted: str | None) -> Response:
    """To the page of signing in, since the pending sign-in has ended."""
    return make_response(redirect(url_for("identity.login", next=local_path(wanted), again=""), 303))


def account_page(owner: Owner, **refused: object) -> str:
    """The page of one's own account. `refused`: forms in place of those that are there by default, and faults."""
    return render_template("accounts/account.html", **_account(owner, refused))


def refused(part: str, owner: Owner, status: int, **forms: object) -> Response:
    """A form with what is wrong: for htmx alone, else in its page."""
    if wants_fragment():
        return make_response(render_template(part, **_account(owner, forms)), status)
    return make_response(account_page(owner, **forms), status)


def succeeded(message: str) -> Response:
    """The answer to a change of one's own account: back to its page, with a sentence."""
    return succeeded_with_notice(message, url_for("account.show"))


def codes_page(owner: Owner, codes: Sequence[str], message: str) -> Response:
    """Recovery codes, which are shown this once."""
    page = render_template("accounts/recovery_codes.html", owner=owner, codes=codes, message=message)
    return make_response(page)


def proof_form(owner: Owner, *, is_sent: bool = True) -> ProofForm:
    """The form of `proof_of`. `is_sent`: with what was sent."""
    has_app = FactorKind.TOTP in factors_of(owner.user_id)
    return ProofForm(has_app=has_app) if is_sent else ProofForm(None, has_app=has_app)


def proof_of(owner: Owner, form: ProofForm) -> OwnerProof:
    """What somebody has typed to show that they own the account."""
    return proof_by(owner, password=form.password.data or "", code=form.code.data or "")


def proof_by(owner: Owner, *, password: str = "", code: str = "") -> OwnerProof:
    return OwnerProof(
        user_id=owner.user_id,
        email=owner.email,
        session_token=owner.token,
        password=password,
        code=code,
        remote_address=request.remote_addr or "",
        browser_tokens=browser_tokens(),
    )


def password_form_of(owner: Owner) -> PasswordForm:
    user = signed_in_user()
    return PasswordForm(owner.email, names_around(user) if user is not None else [owner.name])


def _account(owner: Owner, given: dict[str, object]) -> dict[str, object]:
    site = relying_party()
    if site is not None:
        passkey_browser()
    return {
        "owner": owner,
        "factors": own_factors(owner.user_id),
        "sessions": own_account.sessions_of(owner.user_id, owner.token),
        "form": NameForm(formdata=None, name=owner.name),
        "email_form": EmailForm(owner.email),
        "change": pending_change(owner.user_id),
        "password_form": password_form_of(owner),
        "passkeys": passkeys_of(owner.user_id),
        "passkey_site": site,
        "new_passkey": _new_passkey(),
        "renaming": None,
        "passkey_fault": None,
        "problem": given.keys() & {"passkey_fault", "new_passkey", "renaming"},
        **given,
    }


def _new_passkey() -> NewPasskeyForm:
    """Named after the browser, where most passkeys are used."""
    device = read_device(present_caller().user_agent)
    return NewPasskeyForm(formdata=None, passkey_name=device.words if device.browser or device.system else "")
