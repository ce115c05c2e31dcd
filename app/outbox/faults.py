"""Why there is no connection to a mail server, or why it ended: sentences, without any text of an exception."""

from __future__ import annotations

import smtplib
import ssl

from app.core.stored_texts import stored
from app.net.faults import certificate_fault, network_fault, tls_fault
from app.outbox.errors import WITH_REPLY, ServerFailure, ServerMisconfigured, ServerUnavailable, words_of


class ProtocolError(OSError):
    """The server said something that SMTP does not provide for. `why`: the end of a sentence after a colon."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NoGreeting(OSError):
    """The server let us connect, and then closed the connection or said nothing. `__cause__` says which."""


def connection_lost(error: OSError) -> str:
    """The reason to give when a connection broke in the middle of a mail."""
    return _LOST % {"fault": _why_lost(error)}


def _why_lost(error: OSError) -> str:
    match _origin(error):
        case ProtocolError(why=why):
            return why
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
            return _unexpected(code, reply)
        case smtplib.SMTPServerDisconnected():  # without any origin: the server ended the connection in good order
            return _CLOSED
        case origin:
            return network_fault(origin)


def _origin(error: OSError) -> OSError:
    """The error of the socket, which smtplib replaces by one of its own."""
    is_wrapped = isinstance(error, smtplib.SMTPServerDisconnected) and isinstance(error.__context__, OSError)
    return error.__context__ if is_wrapped else error  # type: ignore[return-value]


def _unexpected(code: int, reply: bytes | str) -> str:
    # A reply that is no bytes is a text of smtplib, about a line that is too long.
    return REPLY_TOO_LONG if isinstance(reply, str) else _UNEXPECTED % {"words": words_of(code, reply)}


_LOST = stored("The connection to the mail server was lost: %(fault)s")
_CLOSED = stored("it closed the connection.")
REPLY_TOO_LONG = stored("its reply is too long.")
_UNEXPECTED = stored("its reply was unexpected: %(words)s")
_UNTRUSTED = stored("The mail server's certificate is not trusted: %(fault)s")
_UNENCRYPTED = stored("There is no encrypted connection to the mail server: %(fault)s")
_NOT_REACHED = stored("The mail server cannot be reached: %(fault)s")
_REFUSED_CONNECTION = stored("The mail server refused the connection.")
_REFUSED_STARTTLS = stored("The mail server refused to encrypt the connection (STARTTLS).")
_NOT_SMTP = stored(
    "The server at this host and port does not speak SMTP. Check the host's name, the port and the encryption."
)
_NO_STARTTLS = stored(
    "The mail server does not offer STARTTLS, so the connection would not be encrypted, and nothing was sent. If the"
    " server expects encryption from the start (usually at port 465), choose SSL/TLS."
)
_UNUSABLE = stored(
    "The mail server cannot be used with these settings. Check the host's name, the port and the encryption."
)
_SAID_NOTHING = stored(
    "The mail server did not answer. If it expects encryption from the start (usually at port 465), choose SSL/TLS."
)
_NO_ANSWER = stored("The mail server cannot be reached: it did not answer in time. Check the host's name and the port.")
_CLOSED_AT_ONCE = stored("The mail server closed the connection at once. Check that it accepts connections from here.")


def server_failure(error: OSError | ValueError) -> ServerFailure:
    """The meaning of an error before the first mail: will it pass by itself, or must somebody correct it?"""
    match error:
        case smtplib.SMTPResponseException():
            return _refused(error)
        case ssl.SSLCertVerificationError():
            return ServerMisconfigured(_UNTRUSTED % {"fault": certificate_fault(error)})
        case NoGreeting(__cause__=why):
            return ServerUnavailable(_SAID_NOTHING if isinstance(why, TimeoutError) else _CLOSED_AT_ONCE)
        case smtplib.SMTPServerDisconnected() | ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ProtocolError():
            return ServerUnavailable(connection_lost(error))
        case ssl.SSLError():
            return ServerMisconfigured(_UNENCRYPTED % {"fault": tls_fault(error)})
        case smtplib.SMTPNotSupportedError():
            return ServerMisconfigured(_NO_STARTTLS)
        case UnicodeError():
            return ServerMisconfigured(_NOT_REACHED % {"fault": network_fault(error)})
        case smtplib.SMTPException() | ValueError():
            return ServerMisconfigured(_UNUSABLE)
        case TimeoutError():
            return ServerUnavailable(_NO_ANSWER)
        case _:
            return ServerUnavailable(_NOT_REACHED % {"fault": network_fault(error)})


def _refused(error: smtplib.SMTPResponseException) -> ServerFailure:
    """The meaning of a reply to the connection, the greeting or STARTTLS that is no yes."""
    code, reply = error.smtp_code, error.smtp_error
    if code < 0 or isinstance(reply, str):
        return ServerMisconfigured(_NOT_SMTP)
    is_connection = isinstance(error, smtplib.SMTPConnectError | smtplib.SMTPHeloError)
    refused = _REFUSED_CONNECTION if is_connection else _REFUSED_STARTTLS
    kind = ServerUnavailable if 400 <= code < 500 else ServerMisconfigured
    return kind(WITH_REPLY % {"what": refused, "words": words_of(code, reply)})
