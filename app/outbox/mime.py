"""Turns a mail into bytes. Parts that all mails of a portal share are encoded once; each mail fills the placeholders.

The standard library's classes take ten times as long, which is most of the cost of a mail. A test compares the messages
with those of the standard library.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import decode_header, make_header
from email.utils import format_datetime, formataddr, getaddresses
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import flask_mail

from app.core.stored_texts import stored
from app.outbox.encoded_words import encoded_mailbox, encoded_words, is_plain
from app.outbox.errors import InvalidMessage

LINE_LENGTH = 998
"""The most octets of a line, without its end (RFC 5322, 2.1.1)."""
_BAD_SENDER = stored("The email cannot be built: its sender or reply address is not one email address.")
LOGO_ID = "logo@portal"
"""The Content-ID of a mail's logo. It must be unique only within the mail, because only its own HTML refers to it."""

_SOFT_BREAK = b"=\n"
_QUOTED_TOKEN = re.compile(rb"=..|.")
_QUOTED_WIDTH = 75  # and the "=" of a soft break (RFC 2045, 6.7)
# Private-use characters, which no name may contain.
_MARK = re.compile("\ue000([a-z_]+)\ue001")
# Everything that some program takes for the end of a line, and the other control characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ASCII_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
# No answers by machines (RFC 3834; Exchange: MS-OXCMAIL). Not "All", which asks Exchange for no bounces either.
_AUTOMATIC = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "OOF, AutoReply"}
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")


def placeholder(name: str) -> str:
    """The mark in a text that stands for a value of this name (a-z and _)."""
    return f"\ue000{name}\ue001"


class Encoded(NamedTuple):
    """A text as bytes with CRLF, and its Content-Transfer-Encoding (RFC 2045, 6)."""

    encoding: str
    content: bytes


def encoded(text: str) -> Encoded:
    """Encode a text: as 7bit if every server passes it on unchanged, else as quoted-printable."""
    lines = _with_lf(text).split("\n")
    has_dot = any(line.startswith(".") for line in lines)
    if text.isascii() and max(map(len, lines)) <= LINE_LENGTH and not has_dot:
        return Encoded("7bit", "\r\n".join(lines).encode("ascii"))
    return Encoded("quoted-printable", _quoted(_with_lf(text)))


class Template:
    """A text with a `placeholder` wherever each mail has a value of its own."""

    def __init__(self, text: str) -> None:
        self._pieces = _MARK.split(_with_lf(text))  # text, name, text, name, …, text
        texts = self._pieces[::2]
        # In quoted-printable, each piece of text and each value has its own lines of bytes. If the text goes on after
        # one of them on the same line, the break between them is a soft one.
        self._quoted = [_quoted(piece, goes_on=_goes_on_after(piece)) for piece in texts[:-1]] + [_quoted(texts[-1])]
        goes_on = [not piece.startswith("\n") for piece in texts[1:]]
        if goes_on and not texts[-1]:
            goes_on[-1] = False
        self._places = list(zip(self._pieces[1::2], goes_on, strict=True))

    def filled(self, values: Mapping[str, str]) -> str:
        """The whole text with these values filled in."""
        filled = list(self._pieces)
        filled[1::2] = [values[name] for name in self._pieces[1::2]]
        return "".join(filled)

    def encoded(self, values: Mapping[str, str]) -> Encoded:
        """The whole text with these values filled in, in quoted-printable."""
        filled = [b""] * len(self._pieces)
        filled[::2] = self._quoted
        # Most values occur several times in a text.
        quoted = {place: _quoted(_with_lf(values[place[0]]), goes_on=place[1]) for place in set(self._places)}
        filled[1::2] = [quoted[place] for place in self._places]
        return Encoded("quoted-printable", b"".join(filled))


class FilledTemplate(NamedTuple):
    """A text with placeholders, and the values to fill in."""

    template: Template
    values: Mapping[str, str]

    def __str__(self) -> str:
        return self.template.filled(self.values)

    def encoded(self) -> Encoded:
        """The text as bytes."""
        return self.template.encoded(self.values)


def _with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _goes_on_after(piece: str) -> bool:
    return piece != "" and not piece.endswith("\n")


def _quoted(text: str, *, goes_on: bool = False) -> bytes:
    # The extra letter makes b2a_qp leave room for the soft break, and keeps white space from the end of the line.
    content = binascii.b2a_qp(f"{text}x".encode())[:-1] if goes_on else binascii.b2a_qp(text.encode())
    if content.startswith(b".") or b"\n." in content:
        content = b"\n".join(map(_without_leading_dots, content.replace(_SOFT_BREAK, b"").split(b"\n")))
    return (content + _SOFT_BREAK if goes_on else content).replace(b"\n", b"\r\n")


def _without_leading_dots(line: bytes) -> bytes:
    """Break a line in quoted-printable anew, so that it nowhere begins with a dot.

    A program that reads or writes the dots of SMTP wrongly (RFC 5321, 4.5.2) then cannot lose one, or end the mail.
    """
    broken, width = bytearray(), 0
    for token in _QUOTED_TOKEN.findall(line):
        if width + len(token) > _QUOTED_WIDTH:
            broken += _SOFT_BREAK
            width = 0
        shown = b"=2E" if token == b"." and width == 0 else token
        broken += shown
        width += len(shown)
    return bytes(broken)


class RenderedMail(NamedTuple):
    """A mail that is ready to be sent. The same on each attempt.

    `message_id`: with its angle brackets. `sender` and `reply_to`: one mailbox each, with or without a display name, in
    the form of `email.utils.formataddr`. `recipient`: one bare ASCII address. `date`: aware.
    """

    message_id: str
    sender: str
    recipient: str
    subject: str
    text: str | FilledTemplate
    html: str | FilledTemplate
    date: datetime
    reply_to: str | None = None
    logo: bytes | None = None
    """A PNG that the HTML shows as `cid:` and `LOGO_ID`."""
    language: str | None = None
    """The language of the texts (RFC 5646), for screen readers and translators."""
    more_headers: Sequence[tuple[str, str]] = ()
    """Further headers of this mail, in plain ASCII: name and value."""
    envelope_from: str | None = None
    """The envelope sender, a bare ASCII address. None: the address of `sender`."""


def message_of(mail: RenderedMail) -> Message:
    """The message to send. Raises `InvalidMessage`."""
    try:
        return Message(mail)
    except (MessageError, ValueError) as error:
        raise InvalidMessage(
            stored("The email cannot be built: a name or text holds a character that cannot be sent.")
        ) from error


class Message(flask_mail.Message):
    """Flask-Mail's message in a form that any server takes: ASCII, no line too long, no header smuggled in.

    It is built once, when it is made. The same mail always gives the same bytes. Flask-Mail's own `__init__` is not
    called: it asks the DNS for this machine's name to make a Message-ID that we do not use, which can take seconds per
    mail.
    """

    def __init__(self, mail: RenderedMail) -> None:
        self.subject, self.sender, self.reply_to = mail.subject, mail.sender, mail.reply_to
        self.recipients, self.msgId = [mail.recipient], mail.message_id
        self.date = mail.date.timestamp()
        self.extra_headers = {
            **_AUTOMATIC,
            **({"Content-Language": mail.language} if mail.language else {}),
            **dict(mail.more_headers),
        }
        self._refuse_bad(mail)
        self._content = self._written(mail)

    def as_bytes(self) -> bytes:
        return self._content

    def has_bad_headers(self) -> bool:
        """Whether a header holds a control character. Flask-Mail checks only for CR and LF."""
        more = (self.extra_headers or {}).values()
        values = (self.subject, self.sender, self.reply_to or "", self.msgId, *self.recipients, *more)
        # A printable text holds no control character, and isprintable() is faster than the search.
        return any(not value.isprintable() and _CONTROL.search(value) for value in map(str, values))

    def _refuse_bad(self, mail: RenderedMail) -> None:
        if self.has_bad_headers():
            raise InvalidMessage(
                stored("The email cannot be built: its subject, sender or address holds a control character.")
            )
        if not _ASCII_ADDRESS.fullmatch(mail.recipient):
            raise InvalidMessage(
                stored("The email cannot be built: %(address)s is not one plain address.") % {"address": mail.recipient}
            )
        if not _MESSAGE_ID.fullmatch(mail.message_id):
            raise InvalidMessage(stored("The email cannot be built: its Message-ID is malformed."))
        if mail.date.tzinfo is None:
            raise InvalidMessage(stored("The email cannot be built: its date has no time zone."))

    def _written(self, mail: RenderedMail) -> bytes:
        # The boundary is derived from the Message-ID and not random, so that a repeat is the same mail, byte for byte.
        boundary = "=_" + sha256(mail.message_id.encode()).hexdigest()[:24]
        headers = {
            "MIME-Version": "1.0",
            "Content-Type": f'multipart/alternative; boundary="{boundary}"',
            "From": mailbox(mail.sender)[0],
            "To": mail.recipient,
            "Subject": mail.subject if is_plain(mail.subject) else encoded_words(mail.subject),
            "Date": _date(int(self.date or 0)),
            "Message-ID": mail.message_id,
            **({"Reply-To": mailbox(mail.reply_to)[0]} if mail.reply_to else {}),
            **(self.extra_headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if max(map(len, head.split("\r\n"))) > LINE_LENGTH:
            raise InvalidMessage(stored("The email cannot be built: its subject or sender is too long for one line."))
        html = _text_part(mail.html, "html")
        if mail.logo is not None:
            inner = f"{boundary}="
            kind = f'Content-Type: multipart/related; boundary="{inner}"; type="text/html"\r\n'
            html = kind.encode("ascii") + _joined(inner, html, _logo_part(mail.logo))
        return head.encode("ascii") + _joined(boundary, _text_part(mail.text, "plain"), html)


def _joined(boundary: str, *parts: bytes) -> bytes:
    edge = f"\r\n--{boundary}\r\n".encode("ascii")
    return edge.join([b"", *parts]) + f"\r\n--{boundary}--\r\n".encode("ascii")


@lru_cache(maxsize=64)
def _logo_part(png: bytes) -> bytes:
    """A picture inside the mail itself, so that it is shown without loading anything (RFC 2387, RFC 2392)."""
    head = (
        "Content-Type: image/png\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-ID: <{LOGO_ID}>\r\n"
        'Content-Disposition: inline; filename="logo.png"\r\n\r\n'
    )
    return head.encode("ascii") + base64.encodebytes(png).rstrip(b"\n").replace(b"\n", b"\r\n")


def _text_part(text: str | FilledTemplate, subtype: str) -> bytes:
    """One alternative with its headers."""
    encoding, content = text.encoded() if isinstance(text, FilledTemplate) else encoded(text)
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode("ascii") + content


@lru_cache(maxsize=8)
def _date(seconds: int) -> str:
    """A moment in the form of a Date header. Cached, because many mails go out within one second."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


@lru_cache(maxsize=1024)
def mailbox(value: str | tuple[str, str]) -> tuple[str, str]:
    """Return a mailbox as a header value, and its bare address, both in ASCII.

    Raises `InvalidMessage` if the value is not exactly one mailbox. Cached, because the mails of a portal share their
    sender.
    """
    found = [value] if isinstance(value, tuple) else getaddresses([value])
    if len(found) != 1:
        raise InvalidMessage(_BAD_SENDER)
    # The display name as a person reads it. `formataddr` writes it in encoded words.
    name = str(make_header(decode_header(found[0][0])))
    # Flask-Mail converts a non-ASCII domain to ASCII.
    address = flask_mail.sanitize_address(("", found[0][1]), "us-ascii")
    if _CONTROL.search(name) or not _ASCII_ADDRESS.fullmatch(address):
        raise InvalidMessage(_BAD_SENDER)
    return formataddr((name, address)) if is_plain(name) else encoded_mailbox(name, address), address
