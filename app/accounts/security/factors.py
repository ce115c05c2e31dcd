"""Which second factors an account has.

A second factor is asked for after the password. A recovery code is none: it takes the place of one, once, and goes when
the last one goes. Another kind of factor is added as a member of `FactorKind`, with its table.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.extensions import db
from app.models import Passkey, PendingSignIn, RecoveryCode, TotpKey, User


class FactorKind(StrEnum):
    """What shows that it is the account's owner, besides the password."""

    TOTP = "totp"
    """The changing code of an authenticator app (RFC 6238)."""
    PASSKEY = "passkey"


_OWNERS: dict[FactorKind, InstrumentedAttribute[int]] = {
    FactorKind.TOTP: TotpKey.user_id,
    FactorKind.PASSKEY: Passkey.user_id,
}
"""For each kind, the column that says whose each one is."""


def factors_of(user_id: int) -> Sequence[FactorKind]:
    """The kinds of second factors that an account has, in the order of `FactorKind`."""
    has = [exists().where(owner == user_id) for owner in _OWNERS.values()]
    found: Any = db.session.execute(select(*has)).one()
    return [kind for kind, is_there in zip(_OWNERS, found, strict=True) if is_there]


def has_second_factor(user_id: int) -> bool:
    """Whether a password alone does not sign anybody in to the account."""
    return bool(factors_of(user_id))


def is_protected() -> ColumnElement[bool]:
    """The condition for accounts that have a second factor."""
    return or_(*(exists().where(owner == User.id) for owner in _OWNERS.values()))


def drop_factors(session: Session, user_id: int) -> bool:
    """Delete every second factor of a locked account, its recovery codes, and the sign-ins that wait for one.

    In the caller's transaction. Returns whether it had a second factor.
    """
    had_one = has_second_factor(user_id)
    for owner in (*_OWNERS.values(), RecoveryCode.user_id, PendingSignIn.user_id):
        session.execute(delete(owner.class_).where(owner == user_id))
    return had_one
