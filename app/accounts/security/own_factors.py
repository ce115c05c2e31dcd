"""What people do with the second factor of their own account: set up an authenticator app, make recovery codes, remove.

While an app is being set up, its key is in the browser alone, encrypted. It counts when a first code of it was right.
Each verb looks again, in its transaction, whether the session that asks for it is still there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.own_account import SessionEnded, hold_session
from app.accounts.security import recovery, totp
from app.accounts.security.codes import clean_code
from app.accounts.security.factors import drop_factors, has_second_factor
from app.accounts.security.notices import FactorChange, queue_change_notice
from app.accounts.security.owner_proof import OwnerProof
from app.accounts.users import lock_account, session_id
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.encryption import DecryptionFailed, decrypt, encrypt
from app.core.errors import Conflict
from app.db.transactions import transaction
from app.extensions import db
from app.models import TotpKey, User

SET_UP_LIFETIME = timedelta(minutes=30)


@dataclass(frozen=True)
class OwnFactors:
    """The second factor of an account, as its owner sees it."""

    app_since: datetime | None
    """When the authenticator app was set up. None if there is none."""
    is_protected: bool
    """Whether there is any second factor."""
    codes_left: int

    @property
    def are_few_left(self) -> bool:
        return self.is_protected and self.codes_left <= recovery.FEW


def own_factors(user_id: int) -> OwnFactors:
    """The second factor of an account."""
    since = db.session.scalar(select(TotpKey.created_at).where(TotpKey.user_id == user_id))
    return OwnFactors(since, has_second_factor(user_id), recovery.codes_left(user_id))


def begin_set_up(proof: OwnerProof) -> str | None:
    """A new key for an authenticator app, encrypted for the browser to keep. None if the proof does not hold.

    Raises `Conflict` if the account has an app, `TooManyRequests`, and `SessionEnded`.
    """
    proof.judge()
    with transaction() as session:
        if proof.settle(session) is None:
            return None
        _refuse_second_app(session, proof.user_id)
    claim = {"session": session_id(proof.session_token), "key": totp.new_key(), "at": now().isoformat()}
    return encrypt(json.dumps(claim))


def key_in_set_up(kept: str, session_token: str) -> str | None:
    """The key that is being set up in this session. `kept`: what the browser keeps. None if that is nothing or old."""
    try:
        claim = json.loads(decrypt(kept))
    except DecryptionFailed:
        return None
    is_fresh = now() < datetime.fromisoformat(claim["at"]) + SET_UP_LIFETIME
    return str(claim["key"]) if is_fresh and claim["session"] == session_id(session_token) else None


def confirm_set_up(user_id: int, session_token: str, key: str, code: str) -> Sequence[str] | None:
    """Let an app with this key count, if this is a code of it. None if it is not.

    Returns the account's new recovery codes, none if it has some already. Raises `Conflict` if the account has an app,
    and `SessionEnded`.
    """
    with transaction() as session:
        user = lock_account(session, user_id)
        if user is None:
            raise SessionEnded
        held = hold_session(session, user_id, session_token)
        _refuse_second_app(session, user_id)
        step = totp.matching_step(key, clean_code(code), now())
        if step is None:
            return None
        session.add(TotpKey(user_id=user_id, encrypted_key=encrypt(key), last_step=step))
        held.confirmed_at = now()
        codes = first_recovery_codes(session, user_id)
        queue_change_notice(user, FactorChange.SET_UP)
        audit.record_of_account(user_id, AuditKind.SECOND_FACTOR_SET, by_owner=True)
        return codes


def first_recovery_codes(session: Session, user_id: int) -> Sequence[str]:
    """Recovery codes for a locked account that gets a second factor: none if it has some. In the caller's transaction.

    They have to be shown in the answer, since nobody can show them later.
    """
    return recovery.make_codes(session, user_id) if recovery.codes_left(user_id) == 0 else []


def remake_recovery_codes(proof: OwnerProof) -> Sequence[str] | None:
    """Ten new recovery codes in place of those that are left. None if the proof does not hold.

    Raises `Conflict` if the account has no second factor, `TooManyRequests`, and `SessionEnded`.
    """
    proof.judge()
    with transaction() as session:
        if (owner := proof.settle(session)) is None:
            return None
        if not has_second_factor(proof.user_id):
            raise Conflict(_("Your account has no second factor any more, so it needs no recovery codes."))
        codes = recovery.make_codes(session, proof.user_id)
        user, _held = owner
        queue_change_notice(user, FactorChange.CODES_MADE)
        audit.record_of_account(proof.user_id, AuditKind.RECOVERY_CODES_MADE, by_owner=True)
        return codes


def remove_app(proof: OwnerProof) -> bool:
    """Remove the authenticator app; with the last second factor, the recovery codes too. False if the proof fails.

    Does nothing if there is none. Raises `TooManyRequests`, and `SessionEnded`.
    """
    proof.judge()
    with transaction() as session:
        if (owner := proof.settle(session)) is None:
            return False
        removed = session.scalar(delete(TotpKey).where(TotpKey.user_id == proof.user_id).returning(TotpKey.user_id))
        if removed is not None:
            user, _held = owner
            after_removal(session, user, FactorChange.REMOVED)
    return True


def after_removal(session: Session, user: User, change: FactorChange) -> None:
    """What follows when the owner has removed a second factor of a locked account, in the caller's transaction."""
    if not has_second_factor(user.id):
        drop_factors(session, user.id)
    queue_change_notice(user, change)
    audit.record_of_account(user.id, AuditKind.SECOND_FACTOR_REMOVED, by_owner=True)


def _refuse_second_app(session: Session, user_id: int) -> None:
    if session.scalar(select(TotpKey.user_id).where(TotpKey.user_id == user_id)) is not None:
        raise Conflict(_("An authenticator app is already set up. To use another one, remove it first."))
