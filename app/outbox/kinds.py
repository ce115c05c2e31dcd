"""The rules of each kind of mail: whether it is still wanted, what it says, and what follows when it is sent or fails.

The outbox knows nothing about invitations or accounts. `create_app` registers the rules of each kind. Each rule is
written in one place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, ColumnExpressionArgument, and_, false, func, or_, select, true

from app.branding.policy import PortalPolicy
from app.core.links import LinkKind, token_in
from app.models import MailKind, OutboxMail
from app.outbox.leased_email import LeasedEmail, MailContent

Policies = Mapping[str | None, PortalPolicy]
"""By portal id. None stands for mails of no portal."""


class MailRules:
    """The rules of one kind of mail. Each kind must define `still_wanted`, `link` and `context`."""

    link_kind: LinkKind | None = None
    """The kind of the link in the mail. None if the address opens nothing by itself."""

    per_recipient_values: Collection[str] = ("recipient",)
    """The variables that differ from mail to mail, apart from `link`. Templates may print but not inspect them."""

    still_wanted: ColumnElement[bool]
    """Whether an outbox row should be sent. Asked just before sending, as much may have changed since it was queued."""

    def link(self, mail: MailContent) -> str:
        """The address in the mail. Anyone who has it can use it, so it goes into the mail and nowhere else."""
        raise NotImplementedError

    def unsubscribe_link(self, mail: MailContent) -> str | None:
        """The address that turns such mails off for their recipient. None: they cannot be turned off.

        Only for mails that somebody can do without: never for a security notice, a verification, a password reset or
        an invitation. Like `link`, it goes into the mail and nowhere else.
        """
        return None

    def tokens(self, mail: MailContent) -> list[str]:
        """The tokens of all links in the mail that anyone who has them can use."""
        links = [self.link(mail) if self.link_kind else None, self.unsubscribe_link(mail)]
        return [token_in(link) for link in links if link is not None]

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> Mapping[str, object]:
        """The variables of the mail's templates, apart from `link`, at the moment it is sent. Uses no database."""
        raise NotImplementedError

    def on_sent(self, mails: Sequence[LeasedEmail], at: datetime, policies: Policies) -> None:
        """The mail server has taken these mails. For example, the lifetime of their links begins now.

        Called in the transaction that records it. The mails' clients and accounts are locked. `policies` are the ones
        that the mails were rendered with.
        """

    def on_failed(self, mail: LeasedEmail, reason: str) -> None:
        """It will not be tried again. Called in the transaction that records it. Its client and account are locked."""


_rules: dict[MailKind, MailRules] = {}


def register(kind: MailKind, rules: MailRules) -> None:
    """Register the rules of a kind of mail."""
    _rules[kind] = rules


def rules_of(kind: MailKind) -> MailRules:
    return _rules[kind]


def there_is(*conditions: ColumnExpressionArgument[bool]) -> ColumnElement[bool]:
    """Whether a row exists that meets these conditions. At most one row may meet them.

    This is not EXISTS: while PostgreSQL has few statistics about a table, it evaluates EXISTS by reading all possible
    rows before it looks at the first mail.
    """
    return func.coalesce(select(true()).where(*conditions).scalar_subquery(), false())


def still_wanted(kinds: Iterable[MailKind] | None = None) -> ColumnElement[bool]:
    """Whether an outbox row is still wanted by the rules of its kind. `kinds`: the kinds it may have, None for any."""
    asked = sorted(_rules if kinds is None else kinds)
    return or_(*(and_(OutboxMail.kind == kind, _rules[kind].still_wanted) for kind in asked))


def by_kind(mails: Iterable[LeasedEmail]) -> Iterator[tuple[MailRules, list[LeasedEmail]]]:
    """Group mails by kind, each group with its rules. The kinds always come in the same order."""
    kinds: defaultdict[MailKind, list[LeasedEmail]] = defaultdict(list)
    for mail in mails:
        kinds[mail.kind].append(mail)
    for kind in sorted(kinds):
        yield _rules[kind], kinds[kind]
