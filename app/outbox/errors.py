"""Why a mail was not taken: whose fault it is, and whether the mail may have gone out all the same."""

from __future__ import annotations

import smtplib
import ssl
from typing import Self

from app.core.links import cut_links, cut_token

REASON_LENGTH = 500
"""The most characters of a failure's reason: servers may say a lot, a table cell may not."""
_READ_OF_REASON = 4000

MAIL, RCPT, DATA = "MAIL FROM", "RCPT TO", "DATA"
_MESSAGE_TOO_LARGE = 552
_SIGN_IN_WANTED = frozenset({530, 534, 535, 538})  # RFC 4954, 6: may answer any command


class DeliveryError(Exception):
    """A mail was not, or perhaps not, taken.

    `reason`: one line for the admin, with the server's own words where there are any, free of control
    characters and at most `REASON_LENGTH` characters long.
    """

    outcome = "later"
    """What the metrics call it."""

    def __init__(self, reason: str) -> None:
        self.reason = fit_to_tell(reason)
        super().__init__(self.reason)

    def without_token(self, token: str) -> Self:
        """Take out what the reason quotes, in whatever spelling, of a token that the server was sent."""
        self.reason = cut_token(self.reason, token)[:REASON_LENGTH]
        self.args = (self.reason,)
        return self


class InvalidMessage(DeliveryError):
    """The mail itself cannot be made (a line break in a header, two recipients). None was sent."""

    outcome = "unbuildable"


class PermanentFailure(DeliveryError):
    """The server will not take this mail, however often it is offered (5xx at RCPT TO or DATA)."""

    outcome = "refused"


class TransientFailure(DeliveryError):
    """Not this time: a 4xx at MAIL FROM, RCPT TO or DATA, or the connection broke before the mail was complete."""


class AmbiguousOutcome(DeliveryError):
    """The whole mail was sent and no answer came: it may have been taken.

    Offered again under the same Message-ID, the recipient's side can tell that it is a repeat.
    """

    outcome = "unknown"


class ServerFailure(DeliveryError):
    """The server or its settings fail for every mail, and this one was not even tried."""

    outcome = "server_at_fault"


class ServerMisconfigured(ServerFailure):
    """It lasts until somebody mends it: wrong password, untrusted certificate, no STARTTLS, sender refused."""


class ServerUnavailable(ServerFailure):
    """The server is away or busy, and may come back by itself.

    The name does not resolve, nobody listens, no answer in time, or a 4xx before MAIL FROM.
    """


def fit_to_tell(words: str) -> str:
    """On one line and not too long, and without links: a server may name one that it dislikes."""
    printable = "".join(c if c.isprintable() else " " for c in words[:_READ_OF_REASON])
    return cut_links(" ".join(printable.split()))[:REASON_LENGTH]


def words_of(code: int, reply: bytes | str) -> str:
    """A server's reply on one line."""
    if code < 0:
        return "something that is no SMTP reply"  # smtplib has cut off what should be a code
    text = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
    return f"{code} {' '.join(text.split())}"


def refusal(step: str, code: int, words: str) -> DeliveryError:
    """What a 4xx or 5xx means at one step of a mail."""
    reason = f"The mail server answered {step} with: {words}"
    if code < 500:
        return TransientFailure(reason)
    # The sender is the same for every mail, its size is not.
    if code in _SIGN_IN_WANTED or (step == MAIL and code != _MESSAGE_TOO_LARGE):
        return ServerMisconfigured(reason)
    return PermanentFailure(reason)


def connection_lost(error: OSError) -> str:
    """The reason when a connection broke in the middle of a mail."""
    is_reply = isinstance(error, smtplib.SMTPResponseException)
    why = words_of(error.smtp_code, error.smtp_error) if is_reply else str(error)  # type: ignore[attr-defined]
    return f"The connection to the mail server was lost: {why}"


def server_failure(error: OSError | ValueError) -> ServerFailure:
    """What an error before the first mail means: will it pass, or must somebody see to it?"""
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
            # Without the number of the error, which says nothing to most.
            return ServerUnavailable(f"The mail server cannot be reached: {getattr(error, 'strerror', None) or error}")
