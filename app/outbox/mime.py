"""Turns a mail into bytes. Parts that all mails of a portal share are encoded once; each mail fills the placeholders.

The standard library's classes take ten times as long, which is most of the cost of a mail. A test compares the messages
with those of the standard library.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.base64mime import header_encode
from email.errors import MessageError
from email.header import decode_header, make_header
from email.utils import format_datetime, formataddr, getaddresses
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import flask_mail

from app.outbox.errors import InvalidMessage

LINE_LENGTH = 998
"""The most octets of a line, without its end (RFC 5322, 2.1.1)."""
LOGO_ID = "logo@portal"
"""The Content-ID of a mail's logo. It must be unique only within the mail, because only its own HTML refers to it."""

# A line with an encoded word has at most 76 characters (RFC 2047, 2). "Reply-To: " and the frame of the word leave 54,
# which hold this many octets in base64.
_ENCODED_WORD_BYTES = 39
# Private-use characters, which no name may contain.
_MARK = re.compile("\ue000([a-z_]+)\ue001")
# Everything that some program takes for the end of a line, and the other control characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ASCII_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
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
    if text.isascii() and max(map(len, lines)) <= LINE_LENGTH:
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
    content = binascii.b2a_qp(f"{text}x".encode())[:-1] + b"=\n" if goes_on else binascii.b2a_qp(text.encode())
    return content.replace(b"\n", b"\r\n")


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
    envelope_from: str | None = None
    """The envelope sender, a bare ASCII address. None: the address of `sender`."""


def message_of(mail: RenderedMail) -> Message:
    """The message to send. Raises `InvalidMessage`."""
    try:
        return Message(mail)
    except (flask_mail.BadHeaderError, MessageError, ValueError) as error:
        raise InvalidMessage(f"The mail cannot be built: {error}") from error


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
        self.extra_headers = {"Auto-Submitted": "auto-generated"}
        self._refuse_bad(mail)
        self._content = self._written(mail)

    def as_bytes(self) -> bytes:
        return self._content

    def has_bad_headers(self) -> bool:
        """Whether a header holds a control character. Flask-Mail checks only for CR and LF."""
        values = (self.subject, self.sender, self.reply_to or "", self.msgId, *self.recipients)
        # A printable text holds no control character, and isprintable() is faster than the search.
        return any(not value.isprintable() and _CONTROL.search(value) for value in map(str, values))

    def _refuse_bad(self, mail: RenderedMail) -> None:
        if self.has_bad_headers():
            raise flask_mail.BadHeaderError("a control character or a line break in a header")
        if not _ASCII_ADDRESS.fullmatch(mail.recipient):
            raise ValueError(f"not one plain address: {mail.recipient}")
        if not _MESSAGE_ID.fullmatch(mail.message_id):
            raise ValueError(f"not a Message-ID: {mail.message_id}")
        if mail.date.tzinfo is None:
            raise ValueError("a date without a zone")

    def _written(self, mail: RenderedMail) -> bytes:
        # The boundary is derived from the Message-ID and not random, so that a repeat is the same mail, byte for byte.
        boundary = "=_" + sha256(mail.message_id.encode()).hexdigest()[:24]
        headers = {
            "MIME-Version": "1.0",
            "Content-Type": f'multipart/alternative; boundary="{boundary}"',
            "From": mailbox(mail.sender)[0],
            "To": mail.recipient,
            "Subject": _encoded_words(mail.subject),
            "Date": _date(int(self.date or 0)),
            "Message-ID": mail.message_id,
            **({"Reply-To": mailbox(mail.reply_to)[0]} if mail.reply_to else {}),
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

    Raises ValueError if the value is not exactly one mailbox. Cached, because the mails of a portal share their sender.
    """
    found = [value] if isinstance(value, tuple) else getaddresses([value])
    if len(found) != 1:
        raise ValueError(f"not one mailbox: {value}")
    # The display name as a person reads it. `formataddr` writes it in encoded words.
    name = str(make_header(decode_header(found[0][0])))
    # Flask-Mail converts a non-ASCII domain to ASCII.
    address = flask_mail.sanitize_address(("", found[0][1]), "us-ascii")
    if _CONTROL.search(name) or not _ASCII_ADDRESS.fullmatch(address):
        raise ValueError(f"not a mailbox: {value}")
    return formataddr((name, address)) if _is_plain(name) else f"{_encoded_words(name)} <{address}>", address


def _encoded_words(text: str) -> str:
    """A text for a header: as it is if it is plain ASCII, else in encoded words (RFC 2047), one per line."""
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
    """Whether a header can hold a text as it is. "=?" would be taken for the start of an encoded word."""
    return text.isascii() and "=?" not in text
