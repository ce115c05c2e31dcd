"""What an admin can do about an email that did not arrive, told by the server's code and words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from flask_babel import gettext as _

from app.core.i18n import lazy
from app.core.mail_domains import domain_meant
from app.core.stored_texts import retold
from app.queue.waiting import DROPPED

_ANSWERED = re.compile(r"The mail server answered [A-Z ]+ with: ")
_CODE = re.compile(r"(?<![\d.])[245]\.(\d{1,3}\.\d{1,3})(?!\.?\d)")


class Cause(Enum):
    """Why an email did not arrive."""

    MAILBOX_FULL = "mailbox full"
    NO_MAILBOX = "no mailbox"
    NO_DOMAIN = "no domain"
    TOO_LARGE = "too large"
    POLICY = "policy"
    DROPPED = "dropped"
    OTHER = "other"


# Subject and detail of the enhanced status code (RFC 3463, 3). x.1.10: a null MX (RFC 7505).
_BY_CODE = {
    "2.2": Cause.MAILBOX_FULL,
    **dict.fromkeys(("1.1", "1.3", "1.6", "2.1"), Cause.NO_MAILBOX),
    **dict.fromkeys(("1.2", "1.10", "4.4"), Cause.NO_DOMAIN),
    "3.4": Cause.TOO_LARGE,
}
# For servers that give no code, or one that says nothing.
_BY_WORDS = (
    (re.compile(r"\bfull\b|quota", re.IGNORECASE), Cause.MAILBOX_FULL),
    (
        re.compile(
            r"(user|recipient|mailbox|address)( is)? (unknown|disabled|inactive|rejected|not found)"
            r"|(user|recipient|mailbox|address) does(n't| not) exist"
            r"|(unknown|no such|invalid) (user|recipient|mailbox|address)",
            re.IGNORECASE,
        ),
        Cause.NO_MAILBOX,
    ),
    (re.compile(r"(host|domain)( name)? not found|unrouteable|name service error", re.IGNORECASE), Cause.NO_DOMAIN),
    (re.compile(r"spam|blocked|blacklist|policy", re.IGNORECASE), Cause.POLICY),
)

_CURES = {
    Cause.MAILBOX_FULL: lazy("Mailbox full. Ask them to make room, then resend."),
    Cause.NO_MAILBOX: lazy("This mailbox doesn't exist. Edit the address and resend."),
    Cause.NO_DOMAIN: lazy("%(domain)s doesn't accept email. Edit the address and resend."),
    Cause.TOO_LARGE: lazy("The email is too large for %(domain)s. Choose a smaller logo under Branding, then resend."),
    Cause.POLICY: lazy("%(domain)s refuses email from us. Ask their IT to allow it, then resend."),
    Cause.DROPPED: lazy("Not sent after a restore. Resend if it's still needed."),
    Cause.OTHER: lazy("Correct the address and resend, or remove."),
}


@dataclass(frozen=True)
class Advice:
    """What to do about an email that failed or bounced."""

    cause: Cause
    cure: str
    meant_email: str | None
    """The address that was probably meant, if its domain looks mistyped."""

    @property
    def tells_cause(self) -> bool:
        """Whether the cure also says why the email did not arrive."""
        return self.cause is not Cause.OTHER

    @property
    def is_for_their_it(self) -> bool:
        """Whether the recipient's IT can allow our email."""
        return self.cause is Cause.POLICY


def advice_on(email: str, reason: str) -> Advice:
    """What to do about an email to this address, given what was recorded of its failure or bounce."""
    local, _at, domain = email.rpartition("@")
    cause = cause_of(reason)
    meant = domain_meant(domain)
    cure = _("Edit the address and resend.") if meant else str(_CURES[cause]) % {"domain": domain}
    return Advice(cause, cure, f"{local}@{meant}" if meant else None)


def cause_of(reason: str) -> Cause:
    """Why an email did not arrive: by the enhanced status code, else by the words."""
    if reason == DROPPED:
        return Cause.DROPPED
    found = _CODE.search(reason)
    code = found[1] if found else "0.0"
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code.startswith("7."):
        return Cause.POLICY
    by_words = (cause for words, cause in _BY_WORDS if words.search(reason))
    return next(by_words, Cause.OTHER)


def reply_text(reason: str, *, is_reply: bool = False) -> str:
    """A recorded reason for the eyes of admins. A server's words are introduced as such.

    `is_reply`: it holds nothing but a server's words.
    """
    words = server_words(reason)
    return _("Mail server's reply: %(reply)s", reply=words) if is_reply or words != reason else retold(reason)


def server_words(reason: str) -> str:
    """A server's words in a recorded reason, without the step at which they came."""
    return _ANSWERED.sub("", reason)
