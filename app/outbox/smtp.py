"""Delivery over SMTP: Flask-Mail, with what it lacks put right in subclasses of its own classes.

A mail either is taken by the server, or a `DeliveryError` tells by its class whose fault it is and
whether the mail may have gone out all the same. No database is used here, nor a Flask application.
"""

from __future__ import annotations

import base64
import io
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.base64mime import header_encode
from email.errors import MessageError
from email.header import decode_header, make_header
from email.utils import format_datetime, formataddr, getaddresses
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import flask_mail

from app.connecting import AddressRefused, AddressRule, Watch, any_address, connected, ip_of, tls_context
from app.links import cut_links, cut_token
from app.outbox.body import LINE_LENGTH, Filled, encoded

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class Step(StrEnum):
    """What has to go well, one after the other, until a server has taken a mail."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    ENCRYPT = "encrypt"
    SIGN_IN = "sign_in"
    HAND_OVER = "hand_over"


def _nobody(_step: Step) -> None:
    pass


REASON_LENGTH = 500
"""The most characters of a failure's reason: servers may say a lot, a table cell may not."""
_READ_OF_REASON = 4000

LOGO_ID = "logo@portal"
"""The Content-ID of a mail's logo. It need be unique in the mail only, which is all that its HTML can refer to."""

# RFC 2047, 2: a line with an encoded word has at most 76 characters. "Reply-To: " and the word's frame leave 54 of
# them, in which base64 says so many octets.
_ENCODED_WORD_BYTES = 39
_REPLY_SIZE = 64 * 1024  # more than any honest reply; without a bound it would fill our memory
_GOODBYE_SECONDS = 2.0

_MAIL, _RCPT, _DATA = "MAIL FROM", "RCPT TO", "DATA"
_MESSAGE_TOO_LARGE = 552
_CLOSING = 421
_GO_AHEAD = 354
_SIGN_IN_WANTED = frozenset({530, 534, 535, 538})  # RFC 4954, 6: may answer any command

# Whatever some program takes for the end of a line, and the other controls with it.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ASCII_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")


class DeliveryError(Exception):
    """A mail was not, or perhaps not, taken.

    `reason`: one line for the admin, with the server's own words where there are any, free of control
    characters and at most `REASON_LENGTH` characters long.
    """

    def __init__(self, reason: str) -> None:
        self.reason = _fit_to_tell(reason)
        super().__init__(self.reason)

    def without_token(self, token: str) -> Self:
        """Take out what the reason quotes, in whatever spelling, of a token that the server was sent."""
        self.reason = cut_token(self.reason, token)[:REASON_LENGTH]
        self.args = (self.reason,)
        return self


def _fit_to_tell(words: str) -> str:
    """On one line and not too long, and without links: a server may name one that it dislikes."""
    printable = "".join(c if c.isprintable() else " " for c in words[:_READ_OF_REASON])
    return cut_links(" ".join(printable.split()))[:REASON_LENGTH]


class CannotBuild(DeliveryError):
    """The mail itself cannot be made (a line break in a header, two recipients). None was sent."""


class RefusedForGood(DeliveryError):
    """The server will not take this mail, however often it is offered (5xx at RCPT TO or DATA)."""


class TryLater(DeliveryError):
    """The server will not take this mail just now (4xx at MAIL FROM, RCPT TO or DATA)."""


class ConnectionLost(DeliveryError):
    """The connection broke, or the time was up, before the mail was complete: not delivered."""


class UnknownOutcome(DeliveryError):
    """The whole mail was sent and no answer came: it may have been taken.

    Offered again under the same Message-ID, the recipient's side can tell that it is a repeat.
    """


class ServerAtFault(DeliveryError):
    """The server or its settings fail for every mail, and this one was not even tried.

    Wrong password, untrusted certificate, no STARTTLS, sender refused: it lasts until somebody mends it.
    """


class ServerUnavailable(ServerAtFault):
    """The server is away or busy, and may come back by itself.

    The name does not resolve, nobody listens, no answer in time, or a 4xx before MAIL FROM.
    """


@dataclass(frozen=True)
class MailServer:
    """Where to deliver, and how. Equal values may share a connection.

    `ca_file`: the PEM file of the only authorities to trust; None for those of the system. The user
    name and password are used when both are there, and only where nobody can listen: under TLS, or to
    an address of this machine.
    """

    host: str
    port: int
    tls: Literal["none", "starttls", "ssl"]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


class RenderedMail(NamedTuple):
    """A mail that is ready to be sent, the same on each attempt.

    `message_id`: with its angle brackets. `sender` and `reply_to`: one mailbox each, with or without a
    display name, as `email.utils.formataddr` writes it. `recipient`: one bare ASCII address. `date`:
    aware.
    """

    message_id: str
    sender: str
    recipient: str
    subject: str
    text: str | Filled
    html: str | Filled
    date: datetime
    reply_to: str | None = None
    logo: bytes | None = None
    """A PNG that the HTML shows as `cid:` and `LOGO_ID`."""


class SmtpConnection:
    """A connection to one mail server, made by the first mail and kept open for those that follow.

    For one thread at a time. `timeout` is the longest single wait and `deadline` the longest time for
    one mail, connecting included, both in seconds. `permits` is asked about each IP address before we
    connect to it, for a name that passed an earlier check may resolve anew. `local_hostname` is the name by
    which we greet the server. `told` hears of each step that went well; those that are not needed are left out.
    """

    def __init__(
        self,
        server: MailServer,
        *,
        timeout: float = 10.0,
        deadline: float = 30.0,
        permits: AddressRule = any_address,
        local_hostname: str = "localhost",
        told: Callable[[Step], None] = _nobody,
    ) -> None:
        self._told = told
        self._server = server
        self._deadline = deadline
        self._watch = Watch(timeout)
        self._permits = permits
        self._local_hostname = local_hostname
        self._session: _Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, mail: RenderedMail) -> str:
        """Deliver one mail and return the server's final reply, code and text on one line.

        Raises a DeliveryError of the kind that fits, after any of which the next mail can be sent.
        Returns or raises within the deadline.
        """
        message = _built(mail)
        self._watch.start(self._deadline)
        kept = self._session
        if kept is not None:
            try:
                return self._send_over(kept, message)
            except DeliveryError:
                if kept.mail_begun or kept.is_open:
                    raise
        # Either there was no connection, or the server ended the kept one in between, which is its
        # right and not this mail's failure: the mail had not begun, so it may begin anew.
        return self._send_over(self._open(), message)

    def abort(self) -> None:
        """From another thread: let the mail that is being sent fail now. Nothing can be sent afterwards."""
        self._watch.cancel()
        session = self._session
        client = session.host if session else None
        if client is not None and client.sock is not None:
            with suppress(OSError):
                client.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take leave of the server, within two seconds, and close. May be called more than once."""
        session, self._session = self._session, None
        if session is not None:
            self._watch.start(_GOODBYE_SECONDS)
            session.quit()

    def _open(self) -> _Session:
        session = _Session(self._server, self._watch, self._permits, self._local_hostname, self._told)
        session.host = session.configure_host()
        self._session = session
        return session

    def _send_over(self, session: _Session, message: _Message) -> str:
        try:
            session.send(message)
        finally:
            if not session.is_open:
                self._session = None
        self._told(Step.HAND_OVER)
        return _fit_to_tell(session.last_reply)


class _Session(flask_mail.Connection):
    """Flask-Mail's connection, made safe: bounded in time, verified TLS, never back to clear text.

    Its errors tell at which step they happened. Flask-Mail's signal is left out, as it needs an app.
    """

    host: _Client | None

    def __init__(
        self,
        server: MailServer,
        watch: Watch,
        permits: AddressRule,
        local_hostname: str,
        told: Callable[[Step], None],
    ) -> None:
        mail = flask_mail.Mail()
        mail.state = mail.init_mail(
            {
                "MAIL_SERVER": server.host,
                "MAIL_PORT": server.port,
                "MAIL_USE_TLS": server.tls == "starttls",
                "MAIL_USE_SSL": server.tls == "ssl",
                "MAIL_USERNAME": server.username,
                "MAIL_PASSWORD": server.password,
            }
        )
        super().__init__(mail)
        self._ca_file = server.ca_file
        self._watch = watch
        self._permits = permits
        self._local_hostname = local_hostname
        self._told = told
        self.mail_begun = False  # the server has said yes to MAIL FROM of the latest mail
        self.last_reply = ""

    @property
    def is_open(self) -> bool:
        return self.host is not None and self.host.sock is not None

    def configure_host(self) -> _Client:
        """Connect, encrypt, sign in. Raises ServerAtFault or ServerUnavailable."""
        try:
            client = _Client(
                self.mail.server,
                self.mail.port,
                tls=tls_context(self._ca_file) if self.mail.use_ssl else None,
                watch=self._watch,
                permits=self._permits,
                local_hostname=self._local_hostname,
                told=self._told,
            )
            try:
                self._prepare(client)
            except BaseException:
                client.close()
                raise
        except (OSError, ValueError) as error:
            raise _server_fault(error) from error
        return client

    def _prepare(self, client: _Client) -> None:
        if self.mail.use_tls:
            client.starttls(context=tls_context(self._ca_file))
            self._told(Step.ENCRYPT)
        client.ehlo_or_helo_if_needed()
        if self.mail.username and self.mail.password:
            if not client.is_private:
                raise ServerAtFault(
                    "The user name and password were not sent, because the connection to the mail"
                    " server is not encrypted. Choose STARTTLS or SSL/TLS."
                )
            client.login(self.mail.username, self.mail.password)
            self._told(Step.SIGN_IN)

    def send(
        self,
        message: flask_mail.Message,
        envelope_from: str | tuple[str, str] | None = None,
    ) -> None:
        """Offer a mail to its one recipient and leave the server's answer in `last_reply`."""
        assert self.host is not None  # noqa: S101 - SmtpConnection opens before it sends
        client = self.host
        self.mail_begun = False
        _, sender = _mailbox(envelope_from or message.sender)
        (recipient,) = map(str, message.recipients)
        content = message.as_bytes()
        try:
            with _loss_means(ConnectionLost, client):
                self._announce(client, sender, recipient, len(content))
                # A line that begins with a dot gets another one. The first line is a header's.
                if b"\r\n." in content:  # looking for it takes a sixth of what replacing nothing does
                    content = content.replace(b"\r\n.", b"\r\n..")
                client.send(content + b".\r\n")
            with _loss_means(UnknownOutcome, client):
                verdict = client.verdict()
                client.expect(2, _DATA, verdict)
            self.last_reply = _words(*verdict)
        except (RefusedForGood, TryLater, ServerAtFault):
            self._forget_mail(client)
            raise
        self.num_emails += 1

    def _announce(self, client: _Client, sender: str, recipient: str, size: int) -> None:
        """Say whose mail comes and to whom; a server that allows it hears all in one (RFC 2920)."""
        commands = {_MAIL: f"MAIL FROM:<{sender}>{client.size_option(size)}", _RCPT: f"RCPT TO:<{recipient}>"}
        commands[_DATA] = "DATA"
        is_pipelined = client.has_extn("pipelining")
        if is_pipelined:
            client.send("".join(f"{command}\r\n" for command in commands.values()))
        refusal: DeliveryError | None = None
        for step, command in commands.items():
            if not is_pipelined:
                client.putcmd(command)
            code, reply = client.getreply()
            if refusal is not None:
                # What comes after a refusal was sent in vain; but a server that wants the mail all the same gets
                # none that it could take.
                if step == _DATA and code == _GO_AHEAD:
                    client.putcmd(".")
                    client.getreply()
                continue
            try:
                client.expect(3 if step == _DATA else 2, step, (code, reply))
            except DeliveryError as error:
                if not is_pipelined or not self.is_open:
                    raise
                refusal = error
            else:
                self.mail_begun = True
        if refusal is not None:
            raise refusal

    def _forget_mail(self, client: _Client) -> None:
        """Have the server forget a mail that it refused half-way, so that another can begin."""
        if not (self.mail_begun and self.is_open):
            return
        try:
            client.expect(2, "RSET", client.rset())
        except (OSError, DeliveryError):
            client.close()  # the refusal is what matters; the next mail makes a new connection

    def quit(self) -> None:
        if self.host is not None:
            with suppress(OSError):
                self.host.quit()
            self.host.close()


class _Client(smtplib.SMTP):
    """smtplib's client, none of whose steps outlasts the watch.

    A socket's own timeout begins anew with each byte, so a server that sends one now and then would
    hold us for ever: here it is set before each read, to no more than what is left of the mail's time.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        watch: Watch,
        permits: AddressRule,
        local_hostname: str,
        told: Callable[[Step], None],
    ) -> None:
        self._told = told
        self._tls = tls
        self._watch = watch
        self._permits = permits
        self._room = 0  # bytes that the reply now being read may still have
        self._waits_for_verdict = False
        # Left to itself, smtplib asks the DNS for our own name, which can take seconds.
        super().__init__(host, port, local_hostname)

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        try:
            sock = connected(host, port, self._watch, self._permits, resolved=lambda: self._told(Step.RESOLVE))
        except AddressRefused:
            raise ServerAtFault("The address of the mail server is not allowed.") from None
        self._told(Step.CONNECT)
        self.file = None
        if self._tls is None:
            self.sock = sock
        else:
            sock.settimeout(self._watch.next_wait())
            self.sock = self._tls.wrap_socket(sock, server_hostname=host)
            self._told(Step.ENCRYPT)
        return self.getreply()

    @property
    def is_private(self) -> bool:
        """Whether nobody can listen: it is encrypted, or does not leave this machine."""
        if isinstance(self.sock, ssl.SSLSocket):
            return True
        return self.sock is not None and ip_of(self.sock.getpeername()).is_loopback

    def send(self, s: ReadableBuffer | str) -> None:
        self._bound_wait()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = io.BufferedReader(_Incoming(self))
        self._room = _REPLY_SIZE
        reply = super().getreply()
        # starttls() may shake hands next, and does not ask how long that may take.
        with suppress(TimeoutError):
            self._bound_wait()
        return reply

    def receive(self, buffer: WriteableBuffer) -> int:
        """Read what there is, as `socket.recv_into` does, but in time and within bounds."""
        while True:
            if self.sock is None:
                return 0
            self._bound_wait()
            try:
                size = self.sock.recv_into(buffer)
                break
            except TimeoutError:
                if not self._waits_for_verdict:
                    raise
        self._room -= size
        if self._room < 0:
            raise OSError("the server's reply is too long")
        return size

    def verdict(self) -> tuple[int, bytes]:
        """The reply to a whole mail, waited for until the deadline: giving up early sends it twice."""
        self._waits_for_verdict = True
        try:
            return self.getreply()
        finally:
            self._waits_for_verdict = False

    def _bound_wait(self) -> None:
        """Let the socket's next step wait as long as it may. Raises TimeoutError when the mail's time is up."""
        if self.sock is None:
            return
        seconds = self._watch.next_wait()
        # Asking costs nothing. Telling is a system call, for which the thread lets others have the interpreter.
        if self.sock.gettimeout() != seconds:
            self.sock.settimeout(seconds)

    def size_option(self, size: int) -> str:
        return f" SIZE={size}" if self.has_extn("size") else ""

    def expect(self, kind: int, step: str, answer: tuple[int, bytes]) -> None:
        """Raise what a reply means, unless its first digit is `kind`."""
        code, reply = answer
        if code // 100 == kind:
            return
        words = _words(code, reply)
        if code == _CLOSING:
            self.close()
        if code // 100 in (4, 5):
            raise _refusal(step, code, words)
        raise smtplib.SMTPServerDisconnected(f"unexpected reply to {step}: {words}")


class _Incoming(io.RawIOBase):
    """What smtplib reads replies from."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._client.receive(buffer)


@contextmanager
def _loss_means(kind: type[DeliveryError], client: _Client) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # smtplib's own errors are OSErrors too
        client.close()
        match error:
            case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
                why = _words(code, reply)
            case _:
                why = str(error)
        raise kind(f"The connection to the mail server was lost: {why}") from error


def _words(code: int, reply: bytes | str) -> str:
    if code < 0:
        return "something that is no SMTP reply"  # smtplib has cut off what should be a code
    text = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
    return f"{code} {' '.join(text.split())}"


def _refusal(step: str, code: int, words: str) -> DeliveryError:
    """What a 4xx or 5xx means at one step of a mail."""
    reason = f"The mail server answered {step} with: {words}"
    if code < 500:
        return TryLater(reason)
    if code in _SIGN_IN_WANTED:
        return ServerAtFault(reason)
    # The sender is the same for every mail, its size is not.
    if step == _MAIL and code != _MESSAGE_TOO_LARGE:
        return ServerAtFault(reason)
    return RefusedForGood(reason)


def _server_fault(error: OSError | ValueError) -> ServerAtFault:
    """What an error before the first mail means: will it pass, or must somebody see to it?"""
    match error:
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
            kind = ServerUnavailable if 400 <= code < 500 else ServerAtFault
            signing_in = isinstance(error, smtplib.SMTPAuthenticationError)
            what = "sign-in" if signing_in else "connection"
            return kind(f"The mail server refused the {what}: {_words(code, reply)}")
        case ssl.SSLCertVerificationError(verify_message=why):
            return ServerAtFault(f"The mail server's certificate is not trusted: {why}")
        case smtplib.SMTPServerDisconnected() | ssl.SSLEOFError():
            return ServerUnavailable(f"The connection to the mail server was lost: {error}")
        case ssl.SSLError():
            return ServerAtFault(f"No encrypted connection to the mail server: {error}")
        case smtplib.SMTPException() | ValueError():
            return ServerAtFault(f"The mail server cannot be used with these settings: {error}")
        case _:
            # Without the number of the error, which says nothing to most.
            return ServerUnavailable(f"The mail server cannot be reached: {getattr(error, 'strerror', None) or error}")


class _Message(flask_mail.Message):
    """Flask-Mail's message as any server takes it: ASCII, no line too long, no header smuggled in.

    Built once, when it is made. The same mail gives the same bytes each time.
    """

    def __init__(self, mail: RenderedMail) -> None:
        # Flask-Mail's own __init__ is left out: for a Message-ID that is not wanted it asks the DNS
        # for this machine's name, which can take seconds, with each mail.
        self.subject = mail.subject
        self.sender = mail.sender
        self.recipients = [mail.recipient]
        self.reply_to = mail.reply_to
        self.body, self.alts = None, {}
        self.date = mail.date.timestamp()
        self.msgId = mail.message_id
        self.extra_headers = {"Auto-Submitted": "auto-generated"}
        self.cc, self.bcc, self.attachments = [], [], []
        self.mail_options, self.rcpt_options = [], []
        self.charset = "utf-8"
        if self.has_bad_headers():
            raise flask_mail.BadHeaderError("a control character or a line break in a header")
        if not _ASCII_ADDRESS.fullmatch(mail.recipient):
            raise ValueError(f"not one plain address: {mail.recipient}")
        if not _MESSAGE_ID.fullmatch(mail.message_id):
            raise ValueError(f"not a Message-ID: {mail.message_id}")
        if mail.date.tzinfo is None:
            raise ValueError("a date without a zone")
        self._content = self._written(mail)

    def as_bytes(self) -> bytes:
        return self._content

    def has_bad_headers(self) -> bool:
        values = (self.subject, self.sender, self.reply_to or "", self.msgId, *self.recipients)
        # What can be printed holds none, which is quicker to see.
        return any(not value.isprintable() and _CONTROL.search(value) for value in map(str, values))

    def _written(self, mail: RenderedMail) -> bytes:
        # Written by hand: the library's classes take ten times as long, which is most of what a mail costs.
        # Its boundary is made from the Message-ID, not at random, so that a repeat is the same mail to the byte.
        boundary = "=_" + sha256(self.msgId.encode()).hexdigest()[:24]
        headers = {
            "MIME-Version": "1.0",
            "Content-Type": f'multipart/alternative; boundary="{boundary}"',
            "From": _mailbox(self.sender)[0],
            "To": self.recipients[0],
            "Subject": _encoded(self.subject),
            "Date": _date(int(self.date or 0)),
            "Message-ID": self.msgId,
            **({"Reply-To": _mailbox(self.reply_to)[0]} if self.reply_to else {}),
            **(self.extra_headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if max(map(len, head.split("\r\n"))) > LINE_LENGTH:
            raise ValueError("a header holds a word that is too long")
        html = _text_part(mail.html, "html")
        if mail.logo is not None:
            inner = f"{boundary}="
            kind = f'Content-Type: multipart/related; boundary="{inner}"; type="text/html"\r\n'
            html = kind.encode("ascii") + _joined(inner, html, _logo_part(mail.logo))
        return head.encode("ascii") + _joined(boundary, _text_part(mail.text, "plain"), html)


def _built(mail: RenderedMail) -> _Message:
    try:
        return _Message(mail)
    except (flask_mail.BadHeaderError, MessageError, ValueError) as error:
        raise CannotBuild(f"The mail cannot be built: {error}") from error


def _joined(boundary: str, *parts: bytes) -> bytes:
    edge = f"\r\n--{boundary}\r\n".encode("ascii")
    return edge.join([b"", *parts]) + f"\r\n--{boundary}--\r\n".encode("ascii")


@lru_cache(maxsize=64)
def _logo_part(png: bytes) -> bytes:
    """A picture that stands in the mail itself, so that it shows without anything being loaded (RFC 2387, RFC 2392)."""
    head = (
        "Content-Type: image/png\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-ID: <{LOGO_ID}>\r\n"
        'Content-Disposition: inline; filename="logo.png"\r\n\r\n'
    )
    return head.encode("ascii") + base64.encodebytes(png).rstrip(b"\n").replace(b"\n", b"\r\n")


def _text_part(text: str | Filled, subtype: str) -> bytes:
    """One alternative with its headers."""
    encoding, content = text.encoded() if isinstance(text, Filled) else encoded(text)
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode("ascii") + content


@lru_cache(maxsize=8)
def _date(seconds: int) -> str:
    """A moment as a header says it; cached, since many mails go out in one second."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


@lru_cache(maxsize=1024)
def _mailbox(value: str | tuple[str, str]) -> tuple[str, str]:
    """Return a mailbox as a header value, and its bare address, both in ASCII.

    Raises ValueError when it is none, or more than one. Cached: a portal's mails share their sender.
    """
    found = [value] if isinstance(value, tuple) else getaddresses([value])
    if len(found) != 1:
        raise ValueError(f"not one mailbox: {value}")
    name = _decoded(found[0][0])
    # Flask-Mail puts a non-ASCII domain into its ASCII form.
    address = flask_mail.sanitize_address(("", found[0][1]), "us-ascii")
    if _CONTROL.search(name) or not _ASCII_ADDRESS.fullmatch(address):
        raise ValueError(f"not a mailbox: {value}")
    if _is_plain(name):
        return formataddr((name, address)), address
    return f"{_encoded(name)} <{address}>", address


def _decoded(name: str) -> str:
    """A display name as a person reads it: `formataddr` hands it over in encoded words."""
    return str(make_header(decode_header(name)))


def _encoded(text: str) -> str:
    """A text for a header: as it is where ASCII can say it, else in encoded words (RFC 2047), a line each."""
    if _is_plain(text):
        return text
    words, left = [], text.encode()
    while left:
        end = min(_ENCODED_WORD_BYTES, len(left))
        while end < len(left) and left[end] & 0xC0 == 0x80:  # not in the middle of a character
            end -= 1
        words.append(header_encode(left[:end], "utf-8"))
        left = left[end:]
    return "\r\n ".join(words)


def _is_plain(text: str) -> bool:
    """Whether a header can hold a text as it is: "=?" would be taken for an encoded word."""
    return text.isascii() and "=?" not in text
