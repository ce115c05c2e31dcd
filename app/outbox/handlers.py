"""What each kind of mail adds to the outbox: whether it is still wanted, what it says, what its fate changes.

The outbox knows no invitation and no account; `create_app` registers one handler for each kind.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from app.links import LinkKind
from app.models import MailKind, OutboxMail


class MailHandler(Protocol):
    """The rules of one kind of mail. Each method runs inside the outbox's own transaction."""

    def is_wanted(self, mail: OutboxMail) -> bool:
        """The last look just before sending: is the link in it still the current one?"""

    link_kind: LinkKind
    """What the link in the mail is for."""

    def link(self, mail: OutboxMail) -> str:
        """The address the mail carries. Whoever has it can use it: it goes into the mail and nowhere else."""

    def context(self, mail: OutboxMail, at: datetime) -> dict[str, object]:
        """The variables of the mail's templates, but for `link`, as of the moment it is sent."""

    def handed_over(self, mail: OutboxMail, at: datetime) -> None:
        """The mail server has taken it: the link's lifetime begins."""

    def given_up(self, mail: OutboxMail, reason: str) -> None:
        """It will not be tried again."""


_handlers: dict[MailKind, MailHandler] = {}


def register(kind: MailKind, handler: MailHandler) -> None:
    """Say who knows the rules of a kind of mail."""
    _handlers[kind] = handler


def handler_of(mail: OutboxMail) -> MailHandler:
    return _handlers[mail.kind]
