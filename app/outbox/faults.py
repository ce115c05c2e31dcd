"""Why there is no connection to a mail server, or why it ended: sentences, without any text of an exception."""

from __future__ import annotations

import smtplib
import ssl

from app.net.faults import certificate_fault, network_fault, tls_fault
from app.outbox.errors import ServerFailure, ServerMisconfigured, ServerUnavailable, words_of


class ProtocolError(OSError):
    """The server said something that SMTP does not provide for. `why`: the end of a sentence after a colon."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NoGreeting(OSError):
    """The server let us connect, and then closed the connection or said nothing. `__cause__` says which."""


def connection_lost(error: OSError) -> str:
    """The reason to give when a connection broke in the middle of a mail."""
    return f"The connection to the mail server was lost: {_why_lost(error)}"


def _why_lost(error: OSError) -> str:
    match _origin(error):
        case ProtocolError(why=why):
            return why
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
            return _unexpected(code, reply)
        case smtplib.SMTPServerDisconnected():  # without any origin: the server ended the connection in good order
            return "it closed the connection."
        case origin:
            return network_fault(origin)


def _origin(error: OSError) -> OSError:
    """The error of the socket, which smtplib replaces by one of its own."""
    is_wrapped = isinstance(error, smtplib.SMTPServerDisconnected) and isinstance(error.__context__, OSError)
    return error.__context__ if is_wrapped else error  # type: ignore[return-value]


def _unexpected(code: int, reply: bytes | str) -> str:
    # A reply that is no bytes is a text of smtplib, about a line that is too long.
    return "its reply is too long." if isinstance(reply, str) else f"its reply was unexpected: {words_of(code, reply)}"


_NOT_SMTP = "The server at this host and port does not speak SMTP. Check the host's name, the port and the encryption."
_NO_STARTTLS = (
    "The mail server does not offer STARTTLS, so the connection would not be encrypted, and nothing was sent. If the"
    " server expects encryption from the start (usually at port 465), choose SSL/TLS."
)
_UNUSABLE = "The mail server cannot be used with these settings. Check the host's name, the port and the encryption."
_SAID_NOTHING = (
    "The mail server did not answer. If it expects encryption from the start (usually at port 465), choose SSL/TLS."
)
_NO_ANSWER = "The mail server cannot be reached: it did not answer in time. Check the host's name and the port."
_CLOSED_AT_ONCE = "The mail server closed the connection at once. Check that it accepts connections from here."


def server_failure(error: OSError | ValueError) -> ServerFailure:
    """The meaning of an error before the first mail: will it pass by itself, or must somebody correct it?"""
    match error:
        case smtplib.SMTPResponseException():
            return _refused(error)
        case ssl.SSLCertVerificationError():
            return ServerMisconfigured(f"The mail server's certificate is not trusted: {certificate_fault(error)}")
        case NoGreeting(__cause__=why):
            return ServerUnavailable(_SAID_NOTHING if isinstance(why, TimeoutError) else _CLOSED_AT_ONCE)
        case smtplib.SMTPServerDisconnected() | ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ProtocolError():
            return ServerUnavailable(connection_lost(error))
        case ssl.SSLError():
            return ServerMisconfigured(f"There is no encrypted connection to the mail server: {tls_fault(error)}")
        case smtplib.SMTPNotSupportedError():
            return ServerMisconfigured(_NO_STARTTLS)
        case UnicodeError():
            return ServerMisconfigured(f"The mail server cannot be reached: {network_fault(error)}")
        case smtplib.SMTPException() | ValueError():
            return ServerMisconfigured(_UNUSABLE)
        case TimeoutError():
            return ServerUnavailable(_NO_ANSWER)
        case _:
            return ServerUnavailable(f"The mail server cannot be reached: {network_fault(error)}")


def _refused(error: smtplib.SMTPResponseException) -> ServerFailure:
    """The meaning of a reply to the connection, the greeting or STARTTLS that is no yes."""
    code, reply = error.smtp_code, error.smtp_error
    if code < 0 or isinstance(reply, str):
        return ServerMisconfigured(_NOT_SMTP)
    is_connection = isinstance(error, smtplib.SMTPConnectError | smtplib.SMTPHeloError)
    what = "the connection" if is_connection else "to encrypt the connection (STARTTLS)"
    kind = ServerUnavailable if 400 <= code < 500 else ServerMisconfigured
    return kind(f"The mail server refused {what}. Mail server's reply: {words_of(code, reply)}")
