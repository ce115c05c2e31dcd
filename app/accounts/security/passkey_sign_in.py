"""Signing in with a passkey and nothing else: it proves that one has a device, and can unlock it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import select
from webauthn import generate_authentication_options, options_to_json
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.structs import UserVerificationRequirement

from app.accounts.attempts import attempt_by_address, attempt_of_owner
from app.accounts.new_device import LIMIT as NEW_DEVICE_NOTICE
from app.accounts.security.challenges import LIFETIME, new_challenge, use_challenge
from app.accounts.security.passkeys import has_gone_on, note_use
from app.accounts.security.relying_party import RelyingParty
from app.accounts.security.webauthn_answers import Assertion, PasskeyFault, read_assertion, verify
from app.accounts.sign_in import SignedIn, begin_session
from app.core.clock import now
from app.db import rate_limits
from app.db.rate_limits import Limit
from app.db.transactions import transaction
from app.extensions import db
from app.models import ChallengePurpose, Passkey, User

_CHALLENGES = Limit("passkey-challenges", 600, timedelta(minutes=15))
"""For each network: every page for signing in asks for one, and none is for somebody who is known."""


def sign_in_options(site: RelyingParty, browser: str, remote_address: str) -> str:
    """What a browser needs to ask for whichever passkey its person chooses, as JSON. `browser` is its token.

    Raises `TooManyRequests`.
    """
    with transaction() as session:
        rate_limits.use(_CHALLENGES, rate_limits.network_of(remote_address))
        challenge = new_challenge(session, browser, ChallengePurpose.SIGN_IN)
    options = generate_authentication_options(
        rp_id=site.id,
        challenge=challenge,
        timeout=int(LIFETIME.total_seconds() * 1000),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


def sign_in_with_passkey(
    answer: str,
    *,
    site: RelyingParty,
    browser: str,
    remote_address: str,
    browser_tokens: Collection[str] = (),
    sessions_before: Collection[str] = (),
) -> SignedIn | PasskeyFault:
    """Begin a session for the account whose passkey has signed a challenge of `sign_in_options`.

    `answer` is what the browser sent, which may be anything. The same rules hold as for `sign_in`: who may sign in,
    what ends, who is told. What no passkey of an account has signed counts as a wrong password does. Raises
    `TooManyRequests`, whether it is right or wrong.
    """
    assertion = read_assertion(answer)
    found = _find(assertion) if assertion else None
    if found is None or assertion is None:
        # Counted as attempts at an account that does not exist.
        named = bytes_to_base64url(assertion.credential_id[:64]) if assertion else ""
        attempt = attempt_by_address(named, remote_address, browser_tokens)
        signed, fault = None, PasskeyFault.UNKNOWN if assertion else PasskeyFault.INVALID
    else:
        passkey, user = found
        attempt = attempt_of_owner(user.id, user.email, remote_address, browser_tokens)
        signed, fault = verify(assertion, passkey, site), PasskeyFault.INVALID
        if signed is not None and not has_gone_on(passkey, signed.sign_count):
            signed, fault = None, PasskeyFault.COPIED
    attempt.is_right = signed is not None
    with transaction() as session:
        rate_limits.lock(NEW_DEVICE_NOTICE, attempt.address)
        account = attempt.settle(session)
        is_good = assertion is not None and use_challenge(
            session, assertion.challenge, browser, ChallengePurpose.SIGN_IN
        )
        if signed is None or assertion is None:
            return fault
        if not is_good:
            return PasskeyFault.LATE
        # Looked for again under the account's lock, since it may have been removed, or used, meanwhile.
        held = _find(assertion, account.id) if account else None
        if account is None or held is None or not has_gone_on(held[0], signed.sign_count):
            return PasskeyFault.UNKNOWN
        note_use(held[0], signed.sign_count)
        return begin_session(session, account, attempt.browser_id, sessions_before, confirmed_at=now())


def _find(assertion: Assertion, user_id: int | None = None) -> tuple[Passkey, User] | None:
    query = select(Passkey, User).join(User, User.id == Passkey.user_id)
    query = query.where(Passkey.credential_id == assertion.credential_id)
    if user_id is not None:
        query = query.where(Passkey.user_id == user_id).execution_options(populate_existing=True)
    row = db.session.execute(query).first()
    return (row[0], row[1]) if row else None
