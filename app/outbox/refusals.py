"""Refusals that may be a mail server's fault: which mails they were of, and what the next result tells about them.

Two kinds of refusal are remembered in the mails themselves (`OutboxMail.refused_by`), until the server takes a mail:

- An undecided one (`UndecidedRefusal`). The mail waits, and nothing is held against it. The server is paused, but any
  other mail may go to it at once. If that one is refused too, the server is at fault. If it is taken, the mail is tried
  again, and the next refusal is its own. That holds for all mails to its domain that are refused in the same words. If
  there is no other mail, the third refusal is its own.
- A permanent one that is the mail's (`PermanentFailure`). Five equal ones in a row are the server's after all. Then
  these mails are queued again.

Each function acts in its caller's transaction.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from sqlalchemy import func, select, update

from app.extensions import db
from app.models import MailState, OutboxMail
from app.models.types import db_now
from app.outbox import routing
from app.outbox.errors import (
    DeliveryError,
    PermanentFailure,
    RecipientRefused,
    ServerMisconfigured,
    UndecidedRefusal,
)
from app.outbox.leased_email import LeasedEmail

OWN_AFTER = 3
"""With no other mail to try, so many refusals show that they are about this mail alone."""
EQUAL_ONES = 5
"""So many equal permanent refusals in a row are the server's fault."""

_POLICY_SECONDS = 24 * 60 * 60
"""For so long the refusal of a domain is known to be its own. Later, the same words may come from the server."""
_MOST_RECIPIENTS = 200

_NUMBER = re.compile(r"[\d.]{1,8}")


def decided(mail: LeasedEmail, error: DeliveryError, server: str) -> DeliveryError:
    """What a result means for its mail. An undecided refusal is the mail's own by now, or stays undecided."""
    if not isinstance(error, UndecidedRefusal):
        return error
    server_worked_since = mail.refusals > 0 and mail.refused_by is None
    if server_worked_since or _is_policy_of_domain(mail, error):
        return error.of_this_recipient()
    is_last = mail.refusals + 1 >= OWN_AFTER and not _count_undecided(server)
    return error.of_this_mail() if is_last else error


def may_be_servers(error: DeliveryError | None) -> bool:
    """Whether a failure of a mail counts towards the equal ones that are the server's fault."""
    return isinstance(error, PermanentFailure) and not isinstance(error, RecipientRefused)


def is_same_fault(fault: str, error: DeliveryError | None) -> bool:
    """Whether a failure repeats what a server was paused for, so that it is the server's fault again."""
    return may_be_servers(error) and error is not None and without_variables(error.reason) == without_variables(fault)


def suspect(server: str, error: UndecidedRefusal, *, is_probe: bool) -> None:
    """Pause a server after an undecided refusal was recorded. After several, the server is at fault."""
    match _count_undecided(server):
        case 0:  # the refusal was the mail's own
            routing.resume(server)
        case 1:
            routing.pause(server, error, until_next_mail=True, is_probe=is_probe)
        case _:
            routing.pause(server, error, is_probe=is_probe)


def are_servers(server: str) -> bool:
    """Whether the latest permanent refusals of a server are its own fault, because they are equal.

    If so, their mails are queued again and the server is paused.
    """
    refused = OutboxMail.refused_by == server, OutboxMail.state == MailState.FAILED
    reasons = {
        mail_id: reason or ""
        for mail_id, reason in db.session.execute(select(OutboxMail.id, OutboxMail.last_error).where(*refused))
    }
    if not reasons:
        return False
    [(words, count)] = Counter(map(without_variables, reasons.values())).most_common(1)
    # Those that were on their way when it was paused, or that another worker sent, are as many more.
    is_known = without_variables(routing.fault_of(server) or "") == words
    if count < EQUAL_ONES and not is_known:
        return False
    equal = [mail_id for mail_id, reason in reasons.items() if without_variables(reason) == words]
    again = {"state": MailState.QUEUED, "due_at": db_now(), "refused_by": None, "attempts": OutboxMail.attempts - 1}
    db.session.execute(
        update(OutboxMail)
        .where(OutboxMail.id.in_(equal), *refused)
        .values(**again)
        .execution_options(synchronize_session=False)
    )
    if not is_known:
        routing.pause(server, ServerMisconfigured(reasons[equal[0]]))
    return True


def forget(server: str, *, server_took_mail: bool) -> None:
    """Forget the refusals of a server, because it has taken a mail, or else because it has refused one differently.

    If it has taken one, the mails with undecided refusals are tried again now.
    """
    of_server = OutboxMail.refused_by == server
    if not server_took_mail:
        of_server = of_server & (OutboxMail.state == MailState.FAILED)
    db.session.execute(
        update(OutboxMail)
        .where(of_server)
        .values(refused_by=None, due_at=db_now())
        .execution_options(synchronize_session=False)
    )


def failing_domains(server: str) -> set[str]:
    """The domains of mails that wait for a server after a failure. It is best tried with a mail to another domain."""
    waits = OutboxMail.state == MailState.QUEUED, OutboxMail.last_error.is_not(None)
    of_server = waits if server == routing.DEPLOYMENT else (*waits, OutboxMail.portal_id == server)
    recipients = db.session.scalars(select(OutboxMail.recipient).where(*of_server).limit(_MOST_RECIPIENTS))
    return {_domain_of(recipient) for recipient in recipients}


def servers_with_refusals(servers: Collection[str]) -> set[str]:
    """Those of these servers whose refusals are remembered."""
    return set(db.session.scalars(select(OutboxMail.refused_by).where(OutboxMail.refused_by.in_(servers)).distinct()))


def without_variables(reason: str) -> str:
    """A server's words without what differs from mail to mail: addresses, and ids that contain digits."""
    return " ".join(word for word in reason.split() if word.isalpha() or _is_constant(word))


def _is_constant(word: str) -> bool:
    return "@" not in word and (not any(map(str.isdigit, word)) or _NUMBER.fullmatch(word) is not None)


def _is_policy_of_domain(mail: LeasedEmail, error: UndecidedRefusal) -> bool:
    """Whether the domain refused another mail in these words, and then the server took a mail to somebody else."""
    known = db.session.scalars(
        select(OutboxMail.last_error)
        .where(
            OutboxMail.state.in_([MailState.QUEUED, MailState.SENDING, MailState.FAILED]),
            OutboxMail.refusals > 0,
            OutboxMail.refused_by.is_(None),  # the server has taken a mail since
            OutboxMail.portal_id == mail.portal_id,
            OutboxMail.recipient.endswith(f"@{_domain_of(mail.recipient)}", autoescape=True),
            OutboxMail.due_at > db_now(-_POLICY_SECONDS),
        )
        .distinct()
    )
    words = without_variables(error.reason)
    return any(without_variables(reason or "") == words for reason in known)


def _domain_of(recipient: str) -> str:
    return recipient.rpartition("@")[2]


def _count_undecided(server: str) -> int:
    waits = OutboxMail.refused_by == server, OutboxMail.state == MailState.QUEUED
    return db.session.scalar(select(func.count()).select_from(OutboxMail).where(*waits)) or 0
