"""Changes of mails that are held under a lease. They do nothing to a mail that is held under another one by now.

The statements are prepared, and of the table and not the model: they run for each mail, and what the ORM would add is
not used. All act in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Float, Integer, Table, Update, and_, bindparam, delete, not_, select, update

from app.clock import db_now
from app.database import in_list
from app.extensions import db
from app.models import MailState, OutboxMail
from app.outbox.handlers import is_wanted
from app.outbox.mail import HeldMail
from app.prepared import Prepared

_MAIL = cast(Table, OutboxMail.__table__)
# Both the mail and the lease: who holds a lease that another process has taken over finds nothing. The lease may be any
# of those that are asked for; where a process may have a mail under two leases, it has to compare. Only a mail that is
# being sent has one; with its state in the condition, SQLite would go through all that are.
IS_HELD = and_(in_list(_MAIL.c.id, "ids"), in_list(_MAIL.c.lease_id, "leases"))
IS_HELD_AS_NEXT = and_(in_list(_MAIL.c.id, "next_ids"), in_list(_MAIL.c.lease_id, "next_leases"))
"""The same of other mails, in a statement about both: those that are done, and those that come next."""


class Told(Protocol):
    """What is told of each mail that was changed."""

    id: UUID
    lease_id: UUID | None
    attempts: int


TOLD = (_MAIL.c.id, _MAIL.c.lease_id, _MAIL.c.attempts)


def _let_go(**values: object) -> Update:
    return update(_MAIL).where(IS_HELD).values(lease_id=None, lease_until=None, **values)


def marking_sent() -> Update:
    """What marks those as sent, at a moment `at`, that are held."""
    return _let_go(state=MailState.SENT, sent_at=bindparam("at"), last_error=None)


def _telling(change: Update) -> Prepared:
    return Prepared(change.returning(*TOLD))


RELEASE = _telling(_let_go(state=MailState.QUEUED))
RELEASE_UNTRIED = _telling(
    _let_go(state=MailState.QUEUED, attempts=_MAIL.c.attempts - 1, unknown_outcomes=_MAIL.c.unknown_outcomes - 1)
)
MARK_SENT = Prepared(marking_sent())
# The attempt was counted as unknown when it was begun. `answered`: 1 if it is known by now what came of it, else 0.
_STILL_UNKNOWN = _MAIL.c.unknown_outcomes - bindparam("answered", type_=Integer)
MARK_FAILED = _telling(_let_go(state=MailState.FAILED, last_error=bindparam("reason"), unknown_outcomes=_STILL_UNKNOWN))
MARK_LATER = _telling(
    _let_go(
        state=MailState.QUEUED,
        lane=bindparam("retry_lane"),
        due_at=db_now(bindparam("pause", type_=Float)),
        last_error=bindparam("reason"),
        unknown_outcomes=_STILL_UNKNOWN,
    )
)


def beginning(is_held: ColumnElement[bool]) -> Update:
    """What renews the leases, for `lease` seconds, of what is held and still wanted, and counts the attempt, of which
    nobody knows yet what will come."""
    lease_until = db_now(bindparam("lease", type_=Float))
    counted = {"attempts": _MAIL.c.attempts + 1, "unknown_outcomes": _MAIL.c.unknown_outcomes + 1}
    return update(_MAIL).where(is_held, is_wanted()).values(lease_until=lease_until, **counted)


@cache
def begin_attempts() -> Prepared:
    """`beginning` of what is held, prepared."""
    return _telling(beginning(IS_HELD))


@cache
def renewing() -> Prepared:
    """What lets leases begin anew, for `lease` seconds."""
    lease_until = db_now(bindparam("lease", type_=Float))
    return _telling(update(_MAIL).where(and_is_free(IS_HELD)).values(lease_until=lease_until))


def apply(change: Prepared, mails: Sequence[HeldMail], **values: object) -> dict[UUID, Told]:
    """Change those of the mails that are still held under their leases. Returns what is told of each that was."""
    if not mails:
        return {}
    found = change.run(db.session.connection(), **keys_of(mails), **values)
    return {row.id: row for row in found}


def delete_unwanted(mails: Sequence[HeldMail]) -> None:
    """Delete those of the mails that nobody wants any more."""
    is_unwanted = and_(and_is_free(IS_HELD), not_(is_wanted()))
    db.session.connection().execute(delete(_MAIL).where(is_unwanted), keys_of(mails))


def and_is_free(is_held: ColumnElement[bool]) -> ColumnElement[bool]:
    """Not mails that somebody is just removing: to wait for them could be to wait in a circle. Nobody is on SQLite."""
    return _MAIL.c.id.in_(select(_MAIL.c.id).where(is_held).with_for_update(skip_locked=True))


def keys_of(mails: Sequence[HeldMail]) -> dict[str, object]:
    """What `IS_HELD` asks for."""
    return {"ids": [mail.id for mail in mails], "leases": list({mail.lease_id for mail in mails})}
