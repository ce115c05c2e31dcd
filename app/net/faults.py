"""Why a connection failed, in sentences for the person who has to fix it. No text of an exception gets into them.

Each is the end of a sentence that names the server ("The mail server cannot be reached: …"), and what to do.
"""

from __future__ import annotations

import errno
import socket
import ssl

from app.core.stored_texts import stored

_CERTIFICATE_FAULTS = {
    9: stored("it is not valid yet. Check its dates, and the clock of the machine that runs this service."),
    10: stored("it has expired. Renew it on the server."),
    18: stored("it is self-signed, so anyone could have made it. Install one from a public certificate authority."),
    62: stored("it is for another name. Enter the name that it was issued for, or install one for this name."),
}
_CERTIFICATE_FAULTS[64] = _CERTIFICATE_FAULTS[62]
"""By OpenSSL's number of the fault (X509_V_ERR_…)."""

_UNKNOWN_AUTHORITY = stored(
    "it comes from an unknown authority. Install one from a public certificate authority, with its intermediate"
    " certificates."
)

_NO_TLS = stored(
    "it answered without encryption. The port may be for another kind of encryption, or for none. Check the port and"
    " the encryption."
)
_OLD_TLS = stored("it has no version of TLS that is still safe. Enable TLS 1.2 or newer on the server.")
_NO_CIPHER = stored("it has no encryption method (cipher) that is still safe. Enable current ciphers on the server.")
_WANTS_CERTIFICATE = stored(
    "it asks for a certificate of ours, and we have none. Disable client certificates on the server."
)
_UNKNOWN_NAME = stored("it doesn't know the name that we ask for. Check the host's name.")
_OTHER_TLS = stored("setting up encryption failed. Check the port, the encryption and the TLS settings of the server.")

# Parts of OpenSSL's names for what went wrong. Its versions differ in the rest of the name.
_TLS_FAULTS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _OLD_TLS,
    "PROTOCOL_VERSION": _OLD_TLS,
    "NO_PROTOCOLS": _OLD_TLS,
    "VERSION_TOO_LOW": _OLD_TLS,
    "HANDSHAKE_FAILURE": _NO_CIPHER,
    "INSUFFICIENT_SECURITY": _NO_CIPHER,
    "CIPHER": _NO_CIPHER,
    "TOO_SMALL": _NO_CIPHER,
    "TOO_WEAK": _NO_CIPHER,
    "CERTIFICATE_REQUIRED": _WANTS_CERTIFICATE,
    "BAD_CERTIFICATE": _WANTS_CERTIFICATE,
    "UNRECOGNIZED_NAME": _UNKNOWN_NAME,
}

_CLOSED = stored("it closed the connection.")
_TIMED_OUT = stored("there was no answer in time.")

_NOT_FOUND = stored("its name was not found. Check the host's name.")
_NOT_LOOKED_UP = stored("its name could not be looked up just now.")
_OTHER_NETWORK = stored("the connection failed. Check the host's name and the port.")
_NO_ROUTE = stored("there is no way to it through the network. Check the host's name and the port.")
_NO_ROOM = stored("the machine that runs this service has no room for another connection. Try again later.")
_NETWORK_FAULTS = {
    errno.ECONNREFUSED: stored("nothing is listening on this port. Check the host's name and the port."),
    errno.ECONNRESET: _CLOSED,
    errno.ECONNABORTED: _CLOSED,
    errno.EPIPE: _CLOSED,
    errno.ENOTCONN: _CLOSED,
    errno.ENETUNREACH: _NO_ROUTE,
    errno.EHOSTUNREACH: _NO_ROUTE,
    errno.ENETDOWN: _NO_ROUTE,
    errno.EHOSTDOWN: _NO_ROUTE,
    errno.EACCES: _NO_ROUTE,
    errno.EPERM: _NO_ROUTE,
    errno.EMFILE: _NO_ROOM,
    errno.ENFILE: _NO_ROOM,
    errno.ENOBUFS: _NO_ROOM,
    errno.ENOMEM: _NO_ROOM,
    errno.EADDRNOTAVAIL: _NO_ROOM,
}


def certificate_fault(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a certificate. Its authority, unless OpenSSL names something else that we know."""
    return _CERTIFICATE_FAULTS.get(error.verify_code, _UNKNOWN_AUTHORITY)


def tls_fault(error: ssl.SSLError) -> str:
    """Why no encrypted connection came about, although there was an answer."""
    reason = error.reason or ""
    return next((fault for part, fault in _TLS_FAULTS.items() if part in reason), _OTHER_TLS)


def network_fault(error: OSError | UnicodeError) -> str:
    """Why there was no connection, or why it ended."""
    match error:
        case TimeoutError():
            return _TIMED_OUT
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return _NOT_LOOKED_UP
        case socket.gaierror() | UnicodeError():
            return _NOT_FOUND
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return _CLOSED
        case ssl.SSLError():  # its number is one of OpenSSL's
            return tls_fault(error)
        case _:
            return _NETWORK_FAULTS.get(error.errno or 0, _OTHER_NETWORK)
