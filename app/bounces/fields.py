"""The fields of reports: names and values of headers as text, whatever bytes they were written in."""

from __future__ import annotations

import base64
import quopri
import re
from collections.abc import Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import parseaddr

Fields = Sequence[tuple[str, str]]
"""Names in lower case with their values, in their order."""

_LONGEST_VALUE = 4000
_CODE = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
_BASIC_CODE = re.compile(r"(?<![\d.])[245]\d\d(?![\d.])")
_TYPE = re.compile(r"\s*[A-Za-z][\w-]*\s*;")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


def headers_of(message: Message) -> list[tuple[str, str]]:
    """The headers of a message."""
    return [(name.lower(), _decoded(str(value))) for name, value in message.raw_items()]


def blocks_of(part: Message) -> list[Fields]:
    """The groups of fields of a delivery status or feedback report, divided by blank lines (RFC 3464, 2.1)."""
    blocks = [headers_of(block) for block in _messages_in(part)]
    return [block for block in blocks if block] or [[]]


def bytes_of(part: Message) -> bytes:
    """The content of a part that is no multipart, decoded."""
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def text_of(part: Message) -> str:
    """The content of a text part."""
    return _text(bytes_of(part), part.get_content_charset())


def without_type(value: str) -> str:
    """A value without its type, such as "smtp;", on one line."""
    found = _TYPE.match(value)
    return " ".join(value[found.end() if found else 0 :].split())


def addresses_in(value: str) -> set[str]:
    """The address of a recipient field, in lower case: as it stands, and decoded (RFC 3461, 4: xtext)."""
    text = without_type(value)
    address = (parseaddr(text)[1] or text.strip("<> ")).lower()
    return {address, _XTEXT.sub(lambda found: chr(int(found[1], 16)), parseaddr(text)[1]).lower()} - {""}


def code_in(text: str) -> str | None:
    """The first enhanced status code (RFC 3463) in a text. None without one. An IP address is none."""
    found = _CODE.search(text)
    return found[1] if found else None


def is_vague(code: str | None) -> bool:
    """Whether an enhanced code is missing or says no more than its class, as x.0.0 does."""
    return code is None or code.endswith(".0.0")


def basic_code_in(text: str) -> str | None:
    """The first three-digit reply code in a text."""
    found = _BASIC_CODE.search(text)
    return found[0] if found else None


def _messages_in(part: Message) -> list[Message]:
    """Each group of fields as a message that has headers only."""
    inner = part.get_payload()
    encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
    is_decoded = part.get_content_type() == "message/delivery-status" and encoding not in {"base64", "quoted-printable"}
    if is_decoded and isinstance(inner, list):
        return inner  # type: ignore[return-value]
    # The email package takes these for whole messages, or leaves them encoded.
    raw = b"\n".join(one.as_bytes() for one in inner) if isinstance(inner, list) else bytes_of(part)  # type: ignore[union-attr]
    if encoding == "base64":
        raw = base64.b64decode(raw)
    elif encoding == "quoted-printable":
        raw = quopri.decodestring(raw)
    groups = re.split(rb"\r?\n[ \t]*\r?\n", raw.strip())
    return [BytesParser(policy=compat32).parsebytes(group.strip() + b"\n\n", True) for group in groups]


def _decoded(value: str) -> str:
    """A header's value as text: unfolded, its bytes read as UTF-8 or Latin-1, its encoded words decoded."""
    raw = value[:_LONGEST_VALUE].encode("ascii", "surrogateescape") if not _is_text(value) else value[:_LONGEST_VALUE]
    text = _text(raw, None) if isinstance(raw, bytes) else raw
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", text)
    if "=?" not in unfolded:
        return unfolded
    try:
        return str(make_header(decode_header(unfolded)))
    except (HeaderParseError, LookupError, ValueError):
        return unfolded


def _is_text(value: str) -> bool:
    """Whether a value holds no bytes that the parser could not read."""
    return not any("\udc80" <= char <= "\udcff" for char in value[:_LONGEST_VALUE])


def _text(raw: bytes, charset: str | None) -> str:
    for encoding in (charset, "utf-8"):
        try:
            return raw.decode(encoding or "utf-8")
        except (LookupError, ValueError):
            continue
    return raw.decode("latin-1")
