"""Signing in at a mail server (RFC 4954). One attempt for each connection, because many servers lock a mailbox after
some wrong passwords. smtplib tries each mechanism in turn, and can only send passwords in ASCII."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Generator

from app.core.stored_texts import stored
from app.outbox.errors import WITH_REPLY, DeliveryError, ServerMisconfigured, ServerUnavailable, words_of
from app.outbox.smtp_client import SmtpClient

_SIGNED_IN, _GO_ON = 235, 334
_CANCEL = "*"

Responses = Generator[bytes, bytes, None]
"""What to answer to each challenge. The first answer goes along with AUTH if it is not empty."""


def _plain(username: bytes, password: bytes) -> Responses:
    """RFC 4616."""
    yield b"\0%b\0%b" % (username, password)


def _login(username: bytes, password: bytes) -> Responses:
    """What Microsoft's servers have instead of PLAIN. It was never standardised."""
    yield b""
    yield username
    yield password


def _cram_md5(username: bytes, password: bytes) -> Responses:
    """RFC 2195."""
    challenge = yield b""
    yield username + b" " + hmac.new(password, challenge, "md5").hexdigest().encode("ascii")


# The best first. The connection is encrypted or does not leave this machine, so PLAIN reveals nothing. CRAM-MD5 comes
# last because servers offer it without having the password in clear text, which it needs.
_MECHANISMS = {"PLAIN": _plain, "LOGIN": _login, "CRAM-MD5": _cram_md5}

_NOT_OFFERED = stored(
    "The mail server offers no sign-in (AUTH). Check the port and the encryption, or remove the user name."
)
_OTHERS_OFFERED = stored(
    "The mail server offers no way to sign in that is supported here (%(ours)s), only: %(offered)s."
)
_CANNOT_BE_SENT = stored("The user name or password holds a character that cannot be sent. Enter both again.")
_NOT_NOW = stored("The mail server cannot check the password just now.")
_OTHERWISE_REFUSED = stored("The mail server refused the sign-in.")
_REFUSED = {
    530: stored("The mail server wants encryption or another way to sign in."),
    534: stored("The mail server accepts no password here. Your provider may want an app password instead."),
    535: stored("The mail server refused the user name or password. Check both."),
    538: stored("The mail server wants encryption before you sign in. Choose STARTTLS or SSL/TLS."),
}


def sign_in(client: SmtpClient, username: str, password: str) -> None:
    """Sign in, with one attempt. Raises `ServerFailure`, and OSError if the connection breaks."""
    mechanism = _mechanism_of(client)
    responses = _MECHANISMS[mechanism](_octets(username), _octets(password))
    first = b64encode(next(responses)).decode("ascii")
    code, reply = client.docmd("AUTH", f"{mechanism} {first}".rstrip())
    answer = ""
    while code == _GO_ON and answer != _CANCEL:
        answer = _response(responses, reply)
        code, reply = client.docmd(answer)
    if code != _SIGNED_IN:
        raise _refused(code, reply)


def _octets(text: str) -> bytes:
    try:
        if "\0" not in text:  # PLAIN has it between the two
            return text.encode()
    except UnicodeEncodeError:
        pass
    raise ServerMisconfigured(_CANNOT_BE_SENT)


def _mechanism_of(client: SmtpClient) -> str:
    offered = client.esmtp_features.get("auth", "").upper().split()
    for mechanism in _MECHANISMS:
        if mechanism in offered:
            return mechanism
    if not offered:
        raise ServerMisconfigured(_NOT_OFFERED)
    raise ServerMisconfigured(_OTHERS_OFFERED % {"ours": ", ".join(_MECHANISMS), "offered": ", ".join(offered)})


def _response(responses: Responses, challenge: bytes) -> str:
    try:
        return b64encode(responses.send(b64decode(challenge))).decode("ascii")
    except StopIteration:
        return _CANCEL  # the server asks for more than the mechanism has


def _refused(code: int, reply: bytes) -> DeliveryError:
    words = words_of(code, reply)
    if 400 <= code < 500:
        return ServerUnavailable(WITH_REPLY % {"what": _NOT_NOW, "words": words})
    return ServerMisconfigured(WITH_REPLY % {"what": _REFUSED.get(code, _OTHERWISE_REFUSED), "words": words})
