"""What each kind of mail adds to the outbox: whether it is still wanted, what it says, what follows from its fate.

The outbox knows no invitation and no account; `create_app` registers the rules of each kind. Each rule is written once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, ColumnExpressionArgument, and_, false, func, or_, select, true

from app.branding.policy import PortalPolicy
from app.core.links import LinkKind
from app.models import MailKind, OutboxMail
from app.outbox.leased_email import LeasedEmail, MailContent

Policies = Mapping[str | None, PortalPolicy]
"""By portals; None stands for mails of no portal."""


class MailRules:
    """The rules of one kind of mail. A kind has to say whether it is still wanted, its link and its context."""

    link_kind: LinkKind | None = None
    """What the link in the mail is for; None for an address that opens nothing by itself."""

    per_recipient_values: Collection[str] = ("recipient",)
    """The variables that differ from mail to mail, beside `link`. Templates may print them, but not look into them."""

    still_wanted: ColumnElement[bool]
    """Whether a row of the outbox is to be sent: asked just before, when much may have happened since it was queued."""

    def link(self, mail: MailContent) -> str:
        """The address the mail carries. Whoever has it can use it: it goes into the mail and nowhere else."""
        raise NotImplementedError

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> Mapping[str, object]:
        """The variables of the mail's templates, but for `link`, as of the moment it is sent. Reads no database."""
        raise NotImplementedError

    def on_sent(self, mails: Sequence[LeasedEmail], at: datetime, policies: Policies) -> None:
        """The mail server has taken them, for example: the links' lifetime begins.

        In the transaction that records it. The mails' clients and accounts are locked. `policies` are those by which
        they were written.
        """

    def on_failed(self, mail: LeasedEmail, reason: str) -> None:
        """It will not be tried again. In the transaction that records it; its client and account are locked."""


_rules: dict[MailKind, MailRules] = {}


def register(kind: MailKind, rules: MailRules) -> None:
    """Say what the rules of a kind of mail are."""
    _rules[kind] = rules


def rules_of(kind: MailKind) -> MailRules:
    return _rules[kind]


def there_is(*conditions: ColumnExpressionArgument[bool]) -> ColumnElement[bool]:
    """Whether there is the row that these conditions name; at most one may meet them.

    Not EXISTS: while PostgreSQL knows little of a table, it answers that by reading all rows which could be it, before
    it looks at the first mail.
    """
    return func.coalesce(select(true()).where(*conditions).scalar_subquery(), false())


def still_wanted(kinds: Iterable[MailKind] | None = None) -> ColumnElement[bool]:
    """Whether a row of the outbox, of one of these kinds or of any, is still wanted, as its kind's rules say."""
    asked = sorted(_rules if kinds is None else kinds)
    return or_(*(and_(OutboxMail.kind == kind, _rules[kind].still_wanted) for kind in asked))


def by_kind(mails: Iterable[LeasedEmail]) -> Iterator[tuple[MailRules, list[LeasedEmail]]]:
    """The mails by their kinds, each kind with its rules, always in the same order."""
    kinds: defaultdict[MailKind, list[LeasedEmail]] = defaultdict(list)
    for mail in mails:
        kinds[mail.kind].append(mail)
    for kind in sorted(kinds):
        yield _rules[kind], kinds[kind]
