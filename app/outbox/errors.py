"""Why a mail was not taken: whose fault it is, and whether the mail may have gone out all the same."""

from __future__ import annotations

import smtplib
import ssl
from typing import Self

from app.core.links import cut_links, cut_token
from app.outbox.bounce_address import without_tokens

REASON_LENGTH = 500
"""The longest reason of a failure, in characters. Servers may say a lot, but a table cell has little room."""
_READ_OF_REASON = 4000

MAIL, RCPT, DATA = "MAIL FROM", "RCPT TO", "DATA"
_MESSAGE_TOO_LARGE = 552
_SIGN_IN_WANTED = frozenset({530, 534, 535, 538})  # RFC 4954, 6: may answer any command


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


class TransientFailure(DeliveryError):
    """Not this time: a 4xx at MAIL FROM, RCPT TO or DATA, or the connection broke before the mail was complete."""


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

    The name does not resolve, nobody listens, no answer came in time, or a 4xx came before MAIL FROM.
    """


def fit_to_tell(words: str) -> str:
    """Fit a server's words for display: one line, not too long, no links of ours. A server may quote one of them."""
    printable = "".join(c if c.isprintable() else " " for c in words[:_READ_OF_REASON])
    return without_tokens(cut_links(" ".join(printable.split())))[:REASON_LENGTH]


def words_of(code: int, reply: bytes | str) -> str:
    """A server's reply on one line."""
    if code < 0:
        return "something that is no SMTP reply"  # smtplib has cut off the part that should be the code
    text = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
    return f"{code} {' '.join(text.split())}"


def refusal(step: str, code: int, words: str) -> DeliveryError:
    """The meaning of a 4xx or 5xx reply to one step of a mail."""
    reason = f"The mail server answered {step} with: {words}"
    if code < 500:
        return TransientFailure(reason)
    # The sender is the same for every mail, but the size is not.
    if code in _SIGN_IN_WANTED or (step == MAIL and code != _MESSAGE_TOO_LARGE):
        return ServerMisconfigured(reason)
    return PermanentFailure(reason)


def connection_lost(error: OSError) -> str:
    """The reason to give when a connection broke in the middle of a mail."""
    is_reply = isinstance(error, smtplib.SMTPResponseException)
    why = words_of(error.smtp_code, error.smtp_error) if is_reply else str(error)  # type: ignore[attr-defined]
    return f"The connection to the mail server was lost: {why}"


def server_failure(error: OSError | ValueError) -> ServerFailure:
    """The meaning of an error before the first mail: will it pass by itself, or must somebody correct it?"""
    match error:
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
            kind = ServerUnavailable if 400 <= code < 500 else ServerMisconfigured
            what = "sign-in" if isinstance(error, smtplib.SMTPAuthenticationError) else "connection"
            return kind(f"The mail server refused the {what}: {words_of(code, reply)}")
        case ssl.SSLCertVerificationError(verify_message=why):
            return ServerMisconfigured(f"The mail server's certificate is not trusted: {why}")
        case smtplib.SMTPServerDisconnected() | ssl.SSLEOFError():
            return ServerUnavailable(f"The connection to the mail server was lost: {error}")
        case ssl.SSLError():
            return ServerMisconfigured(f"No encrypted connection to the mail server: {error}")
        case smtplib.SMTPException() | ValueError():
            return ServerMisconfigured(f"The mail server cannot be used with these settings: {error}")
        case _:
            # Without the error's number, which means nothing to most people.
            return ServerUnavailable(f"The mail server cannot be reached: {getattr(error, 'strerror', None) or error}")
