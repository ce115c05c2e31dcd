"""Recovery codes: ten codes of an account, each of which takes the place of its second factor once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.extensions import db
from app.models import RecoveryCode

NUMBER: Final = 10
FEW: Final = 3
"""So many are left that their owner should make new ones."""
LENGTH: Final = 16
_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Without i, l, o and u, which are easily misread. Five bits each, so a code has 80: nobody finds it from its hash."""
_GROUP: Final = 4
_MISREAD: Final = str.maketrans("oil", "011")


def make_codes(session: Session, user_id: int) -> Sequence[str]:
    """Give a locked account ten new recovery codes in place of those it had, and return them as they are shown.

    In the caller's transaction. Only hashes are kept, so nobody can show them again.
    """
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(LENGTH)) for _ in range(NUMBER)]
    session.add_all(RecoveryCode(user_id=user_id, digest=_digest(user_id, code)) for code in codes)
    return [_shown(code) for code in codes]


def shown_codes(texts: Collection[str]) -> Sequence[str]:
    """Codes as they are shown, from texts of a form. Texts that cannot be codes are left out, and all beyond ten."""
    typed = [text.replace("-", "") for text in texts]
    return [_shown(code) for code in typed if len(code) == LENGTH and set(code) <= set(_LETTERS)][:NUMBER]


def codes_left(user_id: int) -> int:
    """How many recovery codes an account has."""
    query = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
    return db.session.scalar(query) or 0


def use_recovery_code(session: Session, user_id: int, typed: str) -> bool:
    """Use up a code of a locked account, in the caller's transaction. Returns whether it was one.

    `typed` is in small letters and without spaces and hyphens.
    """
    digest = _digest(user_id, typed.translate(_MISREAD))
    used = delete(RecoveryCode).where(RecoveryCode.user_id == user_id, RecoveryCode.digest == digest)
    return bool(session.execute(used).rowcount)  # type: ignore[attr-defined]


def _shown(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, LENGTH, _GROUP))


def _digest(user_id: int, code: str) -> str:
    return hashlib.sha256(f"recovery code {user_id} {code}".encode()).hexdigest()
