"""Changes of mails that are held under a lease. They do nothing to a mail that is held under another one by now.

The statements are prepared, and of the table and not the model: they run for each mail, and what the ORM would add is
not used. All act in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Float, Table, Update, and_, bindparam, delete, not_, select, update

from app.clock import db_now
from app.database import in_list
from app.extensions import db
from app.models import MailState, OutboxMail
from app.outbox.handlers import is_wanted
from app.prepared import Prepared

_MAIL = cast(Table, OutboxMail.__table__)
# Both the mail and the lease: who holds a lease that another process has taken over finds nothing. The lease may be any
# of those that are asked for; where a process may have a mail under two leases, it has to compare. Only a mail that is
# being sent has one; with its state in the condition, SQLite would go through all that are.
IS_HELD = and_(in_list(_MAIL.c.id, "ids"), in_list(_MAIL.c.lease_id, "leases"))


def _let_go(**values: object) -> Update:
    return update(_MAIL).where(IS_HELD).values(lease_id=None, lease_until=None, **values)


def _telling(change: Update) -> Prepared:
    return Prepared(change.returning(_MAIL.c.id, _MAIL.c.lease_id, _MAIL.c.attempts))


RELEASE = _telling(_let_go(state=MailState.QUEUED))
RELEASE_UNTRIED = _telling(_let_go(state=MailState.QUEUED, attempts=_MAIL.c.attempts - 1))
MARK_SENT = Prepared(_let_go(state=MailState.SENT, sent_at=bindparam("at"), last_error=None))
MARK_FAILED = _telling(_let_go(state=MailState.FAILED, last_error=bindparam("reason")))
MARK_LATER = _telling(
    _let_go(
        state=MailState.QUEUED,
        lane=bindparam("retry_lane"),
        due_at=db_now(bindparam("pause", type_=Float)),
        last_error=bindparam("reason"),
    )
)


@cache
def begin_attempt(dialect: str) -> Prepared:
    """Renews the leases, for `lease` seconds, of what is still wanted, and counts the attempt."""
    is_to_be_sent = and_(_is_held_and_free(dialect), is_wanted())
    lease_until = db_now(bindparam("lease", type_=Float))
    return _telling(update(_MAIL).where(is_to_be_sent).values(lease_until=lease_until, attempts=_MAIL.c.attempts + 1))


def apply(change: Prepared, mails: Sequence[OutboxMail], **values: object) -> dict[UUID, Any]:
    """Change those of the mails that are still held under their leases.

    Returns the `id`, `lease_id` and `attempts` of each that was changed.
    """
    if not mails:
        return {}
    found = change.run(db.session.connection(), **keys_of(mails), **values)
    return {row.id: row for row in found}


def delete_unwanted(mails: Sequence[OutboxMail]) -> None:
    """Delete those of the mails that nobody wants any more."""
    is_unwanted = and_(_is_held_and_free(db.engine.dialect.name), not_(is_wanted()))
    db.session.connection().execute(delete(_MAIL).where(is_unwanted), keys_of(mails))


def _is_held_and_free(dialect: str) -> ColumnElement[bool]:
    if dialect == "postgresql":
        # Not mails that somebody is just removing: to wait for them could be to wait in a circle.
        return _MAIL.c.id.in_(select(_MAIL.c.id).where(IS_HELD).with_for_update(skip_locked=True))
    return IS_HELD


def keys_of(mails: Sequence[OutboxMail]) -> dict[str, object]:
    """What `IS_HELD` asks for."""
    return {"ids": [mail.id for mail in mails], "leases": list({mail.lease_id for mail in mails})}
