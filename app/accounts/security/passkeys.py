"""The passkeys of an account: which there are, what they are called, and how they go."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.own_account import SessionEnded, hold_session
from app.accounts.security.notices import FactorChange
from app.accounts.security.own_factors import after_removal
from app.accounts.security.owner_proof import OwnerProof
from app.accounts.users import lock_account
from app.core.clock import now
from app.core.errors import NotFound
from app.db.transactions import transaction
from app.extensions import db
from app.models import Passkey

log = logging.getLogger(__name__)

MOST = 20
"""For each account."""


@dataclass(frozen=True)
class ShownPasskey:
    """A passkey as its owner sees it."""

    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None


def passkeys_of(user_id: int) -> Sequence[ShownPasskey]:
    """An account's passkeys, the oldest first."""
    theirs = select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.created_at, Passkey.id)
    return [ShownPasskey(one.id, one.name, one.created_at, one.last_used_at) for one in db.session.scalars(theirs)]


def count_passkeys(user_id: int) -> int:
    return db.session.scalar(select(func.count()).select_from(Passkey).where(Passkey.user_id == user_id)) or 0


def credential_ids_of(user_id: int) -> Sequence[bytes]:
    """What authenticators call an account's passkeys."""
    return db.session.scalars(
        select(Passkey.credential_id).where(Passkey.user_id == user_id).order_by(Passkey.created_at)
    ).all()


def rename_passkey(user_id: int, token: str, passkey_id: UUID, name: str) -> None:
    """Call one of an account's passkeys by another name, in its clean form. Raises `NotFound`, and `SessionEnded`."""
    with transaction() as session:
        if lock_account(session, user_id) is None:
            raise SessionEnded
        hold_session(session, user_id, token)
        _passkey(session, user_id, passkey_id).name = name


def passkey_of(user_id: int, passkey_id: UUID) -> ShownPasskey:
    """One of an account's passkeys. Raises `NotFound`."""
    found = next((one for one in passkeys_of(user_id) if one.id == passkey_id), None)
    if found is None:
        raise NotFound
    return found


def remove_passkey(proof: OwnerProof, passkey_id: UUID) -> bool:
    """Remove one of an account's passkeys; with the last second factor, the recovery codes too. Its owner is told.

    False if the proof does not hold. Raises `NotFound`, `TooManyRequests`, and `SessionEnded`.
    """
    proof.judge()
    with transaction() as session:
        if (owner := proof.settle(session)) is None:
            return False
        user, _held = owner
        session.delete(_passkey(session, user.id, passkey_id))
        session.flush()
        after_removal(session, user, FactorChange.PASSKEY_REMOVED)
    return True


def note_use(passkey: Passkey, sign_count: int) -> None:
    """Record that a passkey of a locked account has signed, in the caller's transaction."""
    passkey.sign_count, passkey.last_used_at = sign_count, now()


def has_gone_on(passkey: Passkey, sign_count: int) -> bool:
    """Whether an authenticator's count is higher than before. If not, somebody may have copied the passkey.

    Passkeys that are synchronised between devices do not count: theirs is always 0.
    """
    goes_on = sign_count > passkey.sign_count or sign_count == passkey.sign_count == 0
    if not goes_on:
        log.warning(
            "a passkey's sign count went back",
            extra={"user_id": passkey.user_id, "before": passkey.sign_count, "now": sign_count},
        )
    return goes_on


def _passkey(session: Session, user_id: int, passkey_id: UUID) -> Passkey:
    found = session.scalar(select(Passkey).where(Passkey.id == passkey_id, Passkey.user_id == user_id))
    if found is None:
        raise NotFound
    return found
