"""Challenges: random bytes that a passkey has to sign, so that no answer from an earlier time counts.

The database keeps only hashes: of the challenge, and of a token that the browser holds in its cookie. A challenge is
good for one purpose, in one browser, once, and for five minutes.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.core.clock import now
from app.extensions import db
from app.models import ChallengePurpose, PasskeyChallenge

LIFETIME = timedelta(minutes=5)


def new_challenge(session: Session, browser: str, purpose: ChallengePurpose, user_id: int | None = None) -> bytes:
    """Make a challenge for the browser with this token, in the caller's transaction."""
    challenge = secrets.token_bytes(32)
    session.add(
        PasskeyChallenge(
            id=_digest(challenge),
            browser=_digest(browser.encode()),
            purpose=purpose,
            user_id=user_id,
            expires_at=now() + LIFETIME,
        )
    )
    return challenge


def use_challenge(
    session: Session, challenge: bytes, browser: str, purpose: ChallengePurpose, user_id: int | None = None
) -> bool:
    """Take a challenge out of the database, in the caller's transaction. Returns whether it was still good.

    The caller has locked the account that it is about, if there is one. Of two who bring the same one, one is told no.
    """
    found = session.scalar(
        delete(PasskeyChallenge)
        .where(
            PasskeyChallenge.id == _digest(challenge),
            PasskeyChallenge.browser == _digest(browser.encode()),
            PasskeyChallenge.purpose == purpose,
            PasskeyChallenge.user_id.is_not_distinct_from(user_id),
        )
        .returning(PasskeyChallenge.expires_at)
    )
    return found is not None and found > now()


def prune_challenges() -> int:
    """Delete expired challenges. Returns their number."""
    result = db.session.execute(delete(PasskeyChallenge).where(PasskeyChallenge.expires_at <= now()))
    return result.rowcount  # type: ignore[attr-defined,no-any-return]


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
