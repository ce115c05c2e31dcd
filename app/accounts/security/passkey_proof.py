"""A passkey as the second factor: after the password, or once more before a sensitive change."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session
from webauthn import generate_authentication_options, options_to_json
from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

from app.accounts.attempts import FROM_NETWORK
from app.accounts.known_browsers import known_browser
from app.accounts.security.challenges import LIFETIME, new_challenge, use_challenge
from app.accounts.security.passkeys import credential_ids_of, has_gone_on, note_use
from app.accounts.security.relying_party import RelyingParty
from app.accounts.security.webauthn_answers import PasskeyFault, read_assertion, verify
from app.accounts.users import lock_account
from app.db import rate_limits
from app.db.rate_limits import Limit
from app.db.transactions import transaction
from app.extensions import db
from app.models import ChallengePurpose, Passkey, User

_FROM_KNOWN_BROWSER = Limit("passkey-known-browser", 10, timedelta(minutes=15))


def options_of_account(user_id: int, purpose: ChallengePurpose, site: RelyingParty, browser: str) -> str:
    """What the browser with this token needs to ask for a passkey of this account, as JSON."""
    with transaction() as session:
        challenge = new_challenge(session, browser, purpose, user_id)
        known = [PublicKeyCredentialDescriptor(id=one) for one in credential_ids_of(user_id)]
    options = generate_authentication_options(
        rp_id=site.id,
        challenge=challenge,
        timeout=int(LIFETIME.total_seconds() * 1000),
        allow_credentials=known,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


@dataclass
class PasskeyProof:
    """Proves that one holds a passkey of an account: for `finish_sign_in`, and for `step_up.confirm`.

    `answer` is what the browser sent, which may be anything. It counts for `purpose` only. `fault` says afterwards why
    it was no proof.
    """

    answer: str
    purpose: ChallengePurpose
    site: RelyingParty
    browser: str
    remote_address: str
    browser_tokens: Collection[str]
    fault: PasskeyFault | None = None

    def __call__(self, session: Session, user_id: int) -> bool:
        """Whether the account has signed. It comes first in the caller's transaction, and locks the account.

        What it has not signed counts as a wrong password does, for the network, or for a browser that is known to the
        account. Raises `TooManyRequests`.
        """
        limit, subject = self._limit(user_id)
        rate_limits.lock(limit, subject)
        rate_limits.check(limit, subject)
        if lock_account(session, user_id) is None:
            return False
        self.fault = self._judge(session, user_id)
        if self.fault not in (None, PasskeyFault.LATE):
            rate_limits.count(limit, subject)
        return self.fault is None

    def _limit(self, user_id: int) -> tuple[Limit, str]:
        password_hash = db.session.scalar(select(User.password_hash).where(User.id == user_id)) or ""
        browser_id = known_browser(self.browser_tokens, user_id, password_hash)
        if browser_id is not None:
            return _FROM_KNOWN_BROWSER, f"{user_id} {browser_id}"
        return FROM_NETWORK, rate_limits.network_of(self.remote_address)

    def _judge(self, session: Session, user_id: int) -> PasskeyFault | None:
        assertion = read_assertion(self.answer)
        if assertion is None:
            return PasskeyFault.INVALID
        theirs = select(Passkey).where(Passkey.credential_id == assertion.credential_id, Passkey.user_id == user_id)
        passkey = session.scalar(theirs)
        if passkey is None:
            return PasskeyFault.UNKNOWN
        signed = verify(assertion, passkey, self.site)
        is_good = use_challenge(session, assertion.challenge, self.browser, self.purpose, user_id)
        if signed is None:
            return PasskeyFault.INVALID
        if not is_good:
            return PasskeyFault.LATE
        if not has_gone_on(passkey, signed.sign_count):
            return PasskeyFault.COPIED
        note_use(passkey, signed.sign_count)
        return None
