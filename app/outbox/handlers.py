"""What each kind of mail adds to the outbox: whether it is still wanted, what it says, what its fate changes.

The outbox knows no invitation and no account; `create_app` registers one handler for each kind. Mails are judged and
marked several at a time, in one transaction of the outbox, so the methods that read or write take several.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    FromClause,
    Select,
    UpdateBase,
    and_,
    false,
    func,
    or_,
    select,
    true,
)

from app.links import LinkKind
from app.models import MailKind, OutboxMail
from app.outbox.mail import HeldMail, MailContent


@dataclass(frozen=True)
class HandOver:
    """What follows when the mail server has taken mails of a kind, as parts of one statement of PostgreSQL's."""

    taken: Select[Any]
    """Those of the mails that are held (`held.IS_HELD`) and of this kind: their ids as `mail_id`, and what `changes`
    asks for. Locks them and what will be changed, and leaves out those for which somebody else does."""

    changes: Callable[[FromClause], Sequence[UpdateBase]]
    """The statements that change what there is to change, given the rows of `taken`."""

    values: Callable[[datetime], Mapping[str, object]]
    """The parameters of `changes`, for mails that were taken at a moment."""


class Held(IntEnum):
    """What the fate of a mail changes, in the order in which it is locked: see `app.database.transaction`."""

    CLIENTS = 1
    ACCOUNTS = 2


class MailHandler(Protocol):
    """The rules of one kind of mail."""

    hand_over: HandOver | None
    """The same as `handed_over`, for kinds of which many go out at once."""

    @property
    def link_kind(self) -> LinkKind | None:
        """What the link in the mail is for; None for an address that opens nothing by itself."""

    own_values: Collection[str]
    """The variables that differ from mail to mail, beside `link`. Templates may print them, but not look into them."""

    is_wanted: ColumnElement[bool]
    """The last look just before sending: whether the link in a row of the outbox is still the current one."""

    def link(self, mail: MailContent) -> str:
        """The address the mail carries. Whoever has it can use it: it goes into the mail and nowhere else."""

    def context(self, mail: MailContent, at: datetime) -> Mapping[str, object]:
        """The variables of the mail's templates, but for `link`, as of the moment it is sent. Reads no database."""

    holds: Held | None
    """What has to be locked before the mails are marked; kinds that hold the same lock it in the same way."""

    def hold(self, mails: Sequence[HeldMail]) -> None:
        """Lock it for mails of all the kinds that hold the same, in the order of its keys. Not called on SQLite."""

    def handed_over(self, mails: Sequence[HeldMail], at: datetime) -> None:
        """The mail server has taken them: the links' lifetime begins.

        They are marked after that, so that clients and accounts are always locked before mails. Leaves alone what is
        not held any more (`held.IS_HELD`).
        """

    def given_up(self, mail: HeldMail, reason: str) -> None:
        """It will not be tried again."""


_handlers: dict[MailKind, MailHandler] = {}


def register(kind: MailKind, handler: MailHandler) -> None:
    """Say who knows the rules of a kind of mail."""
    _handlers[kind] = handler


def handler_of(kind: MailKind) -> MailHandler:
    return _handlers[kind]


def there_is(*conditions: ColumnExpressionArgument[bool]) -> ColumnElement[bool]:
    """Whether there is the row that these conditions name; at most one may meet them.

    Not EXISTS: while PostgreSQL knows little of a table, it answers that by reading all rows which could be it, before
    it looks at the first mail.
    """
    return func.coalesce(select(true()).where(*conditions).scalar_subquery(), false())


def is_wanted() -> ColumnElement[bool]:
    """Whether a row of the outbox is still wanted, as its kind's handler says."""
    return or_(*(and_(OutboxMail.kind == kind, handler.is_wanted) for kind, handler in sorted(_handlers.items())))


def by_what_they_hold(mails: Iterable[HeldMail]) -> Iterator[tuple[MailHandler, list[HeldMail]]]:
    """The mails by what their kinds hold, in the order in which that is locked, each with a handler that locks it."""
    found: defaultdict[Held, list[HeldMail]] = defaultdict(list)
    for mail in mails:
        holds = handler_of(mail.kind).holds
        if holds is not None:
            found[holds].append(mail)
    for holds in sorted(found):
        yield handler_of(found[holds][0].kind), found[holds]


def by_handler(mails: Iterable[HeldMail]) -> Iterator[tuple[MailHandler, list[HeldMail]]]:
    """The mails by their kinds, each kind with its handler, always in the same order."""
    kinds: defaultdict[MailKind, list[HeldMail]] = defaultdict(list)
    for mail in mails:
        kinds[mail.kind].append(mail)
    for kind in sorted(kinds):
        yield handler_of(kind), kinds[kind]
