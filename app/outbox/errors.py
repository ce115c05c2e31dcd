"""Why a mail was not taken: whose fault it is, and whether the mail may have gone out all the same."""

from __future__ import annotations

from typing import Self

from app.core.links import cut_links, cut_token
from app.core.stored_texts import stored
from app.outbox.bounce_address import without_tokens

WITH_REPLY = stored("%(what)s Mail server's reply: %(words)s")
REASON_LENGTH = 500
"""The longest reason of a failure, in characters. Servers may say a lot, but a table cell has little room."""
_READ_OF_REASON = 4000

MAIL, RCPT, DATA = "MAIL FROM", "RCPT TO", "DATA"


class DeliveryError(Exception):
    """A mail was not taken, or perhaps not.

    `reason`: one line for the admin, with the server's own words if there are any. It has no control characters and at
    most `REASON_LENGTH` characters.
    """

    outcome = "later"
    """Its label in the metrics."""

    def __init__(self, reason: str) -> None:
        self.reason = fit_to_tell(reason)
        super().__init__(self.reason)

    def without_token(self, token: str) -> Self:
        """Cut whatever the reason quotes, in any spelling, of a token that the server was sent."""
        self.reason = cut_token(self.reason, token)[:REASON_LENGTH]
        self.args = (self.reason,)
        return self


class InvalidMessage(DeliveryError):
    """The mail itself cannot be built (a line break in a header, two recipients). Nothing was sent."""

    outcome = "unbuildable"


class PermanentFailure(DeliveryError):
    """The server will never take this mail, however often it is offered (5xx at RCPT TO or DATA)."""

    outcome = "refused"


class RecipientRefused(PermanentFailure):
    """A permanent failure that is about this very recipient, such as an unknown mailbox."""


class TransientFailure(DeliveryError):
    """Not this time: a 4xx at RCPT TO or DATA, or the connection broke before the mail was complete."""


class AmbiguousOutcome(DeliveryError):
    """The whole mail was sent, but no answer came. The server may have taken it.

    It is offered again under the same Message-ID, so that the recipient's side can recognise a repeat.
    """

    outcome = "unknown"


class ServerFailure(DeliveryError):
    """The server or its settings fail for every mail. This mail was not even tried."""

    outcome = "server_at_fault"


class ServerMisconfigured(ServerFailure):
    """It lasts until somebody fixes it: wrong password, untrusted certificate, no STARTTLS, sender refused."""


class ServerUnavailable(ServerFailure):
    """The server is away or busy, and may recover by itself.

    The name does not resolve, nobody listens, no answer came in time, or a 4xx came at MAIL FROM or before.
    """


class UndecidedRefusal(ServerFailure):
    """The server refuses either every mail or only this one, such as "554 5.7.1 Relay access denied" at RCPT TO.

    Until another recipient has been tried it counts as the server's fault. `app.outbox.refusals` decides.
    """

    def __init__(self, reason: str, *, is_permanent: bool) -> None:
        super().__init__(reason)
        self._is_permanent = is_permanent

    def of_this_mail(self) -> DeliveryError:
        """The same refusal, once it is known that it is about this mail alone."""
        return (PermanentFailure if self._is_permanent else TransientFailure)(self.reason)

    def of_this_recipient(self) -> DeliveryError:
        """The same refusal, once it is known that the server is at no fault."""
        return (RecipientRefused if self._is_permanent else TransientFailure)(self.reason)


def fit_to_tell(words: str) -> str:
    """Fit a server's words for display: one line, not too long, no links of ours. A server may quote one of them."""
    printable = "".join(c if c.isprintable() else " " for c in words[:_READ_OF_REASON])
    return without_tokens(cut_links(" ".join(printable.split())))[:REASON_LENGTH]


def words_of(code: int, reply: bytes | str) -> str:
    """A server's reply on one line."""
    if code < 0:
        return stored("something that is no SMTP reply")  # smtplib has cut off the part that should be the code
    text = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
    return f"{code} {' '.join(text.split())}"
