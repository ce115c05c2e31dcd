"""An entry in the outbox's books: what was sent is marked, and what goes out next is looked at for the last time.

Every mail waits for an entry at both of its ends, and all connections wait for each. On SQLite it is a transaction of
a few statements. On PostgreSQL it is a single one, which commits by itself: one way there and back, where a transaction
takes one for each of its statements and two for itself, and after each of them the books' thread has to get the
interpreter back from the threads that send.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Table, null, select, union_all

from app.database import autocommit, transaction
from app.models import MailKind, OutboxMail
from app.outbox import held, services
from app.outbox.handlers import HandOver, handler_of
from app.outbox.mail import HeldMail
from app.prepared import Prepared

_MAIL = cast(Table, OutboxMail.__table__)


def mark_and_look(
    over: Connection, sent: Sequence[HeldMail], following: Sequence[HeldMail], at: datetime
) -> Sequence[HeldMail]:
    """Mark mails as taken by their server at a moment; return those of the `following` ones that are to be sent.

    See `services.settle` and `services.last_look`. In transactions of its own, over a connection that is `kept`.
    """
    if over.dialect.name != "postgresql":
        with transaction(over):
            services.settle([(mail, None) for mail in sent], at)
            return services.last_look(following)
    told = in_one_go(over, sent, following, at)
    unmarked = [mail for mail in sent if mail.id not in told]
    unwanted = [mail for mail in following if mail.id not in told]
    if unmarked or unwanted:
        with transaction(over):
            services.settle([(mail, None) for mail in unmarked], at)
            held.delete_unwanted(unwanted)
    return services.with_attempts(following, told)


def in_one_go(
    over: Connection, sent: Sequence[HeldMail], following: Sequence[HeldMail], at: datetime
) -> Mapping[UUID, held.Told]:
    """The same on PostgreSQL, as far as one statement can. Returns what is told of the mails that it has changed.

    It waits for nobody's mail and nobody's client: those that somebody else has to do with just now, those that became
    pointless, and rare kinds are left as they are. So it need not lock in any order, and a last look is not over long
    before it ends.
    """
    kinds = tuple(sorted({mail.kind for mail in sent if handler_of(mail.kind).hand_over}))
    if not kinds and not following:
        return {}
    values: dict[str, object] = {"at": at}
    for hand_over in _hand_overs(kinds).values():
        values |= hand_over.values(at)
    keys, next_keys = held.keys_of(sent), held.keys_of(following)
    values |= keys | {f"next_{name}": value for name, value in next_keys.items()}
    with autocommit(over):
        found = _statement(kinds).run(over, lease=services.LEASE_SECONDS, **values)
    return {row.id: row for row in found}


def _hand_overs(kinds: Iterable[MailKind]) -> dict[MailKind, HandOver]:
    return {kind: hand_over for kind in kinds if (hand_over := handler_of(kind).hand_over)}


@cache
def _statement(kinds: tuple[MailKind, ...]) -> Prepared:
    """Marks sent mails of these kinds, and begins the attempts of whatever comes next."""
    begun = held.beginning(held.and_is_free(held.IS_HELD_AS_NEXT)).returning(*held.TOLD).cte("begun")
    told: list[Any] = [select(begun)]
    changes = []
    for kind, hand_over in _hand_overs(kinds).items():
        taken = hand_over.taken.cte(f"taken_{kind}")
        changes += [change.cte(f"change_{kind}_{n}") for n, change in enumerate(hand_over.changes(taken))]
        marking = held.marking_sent().where(_MAIL.c.id == taken.c.mail_id)
        marked = marking.returning(_MAIL.c.id).cte(f"marked_{kind}")
        told.append(select(marked.c.id, null(), null()))
    return Prepared(union_all(*told).add_cte(*changes))
