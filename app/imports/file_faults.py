"""Bytes to text: what is no CSV file in UTF-8 is refused with what it is. Pure."""

from __future__ import annotations

import re
from typing import Final

from app.imports.list_errors import make_error

MAX_BYTES: Final = 3 * 1024 * 1024

# Excel reads a CSV file as UTF-8 only if it begins with this mark.
BOM: Final = b"\xef\xbb\xbf"
_UTF16_AND_UTF32_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
# Files of text of another kind: how they begin, after marks and white space.
_TEXTS: Final = (
    (re.compile(rb"%PDF-"), "file_pdf"),
    (re.compile(rb"\{\\rtf"), "file_rtf"),
    (
        re.compile(
            rb"<!--|<(?:!doctype|\?xml|html|head|body|meta|title|style|script|table|thead|tbody|tr|t[dh]|div|p"
            rb"|span|center|font|h[1-6]|ul|ol)\b",
            re.IGNORECASE,
        ),
        "file_html",
    ),
    (re.compile(rb"\[\s*[\[{\"\]]|\{\s*[\"}]"), "file_json"),
)
# What programs leave before the first cell, unseen: byte order marks, zero-width characters, directions.
INVISIBLE: Final = "\ufeff\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f"
_LEADING: Final = re.compile(f"[{INVISIBLE}]+")
_LEADING_BYTES: Final = re.compile(rb"(?:\xef\xbb\xbf|[ \t\r\n])*")
_LINE_BREAK: Final = re.compile(rb"\r\n|\r|\n")


class FileError(Exception):
    """The file cannot be read, or not any further. Never leaves the reader."""

    def __init__(self, code: str, line: int | None = None, *, in_workbook: bool = False, **params: str) -> None:
        super().__init__(code)
        self.error = make_error(code, line, "", "", in_workbook=in_workbook, **params)


def decoded(data: bytes) -> str:
    """The text of a file without the invisible characters before it. Raises `FileError` if it is no text in UTF-8."""
    if len(data) > MAX_BYTES:
        raise FileError("file_too_large")
    if data.startswith(_UTF16_AND_UTF32_MARKS):
        raise FileError("file_utf16")
    start = _LEADING_BYTES.match(data)
    for beginning, code in _TEXTS:
        if beginning.match(data, start.end() if start else 0):
            raise FileError(code)
    if b"\0" in data:
        raise _nul_fault(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError("file_not_utf8", at=str(_line_at(data, error.start))) from error
    unseen = _LEADING.match(text)
    return text[unseen.end() :] if unseen else text


def _nul_fault(data: bytes) -> FileError:
    # UTF-16 without a byte order mark: in Latin text every other byte is NUL.
    if max(data[::2].count(0), data[1::2].count(0)) * 4 > len(data):
        return FileError("file_utf16")
    return FileError("file_nul", at=str(_line_at(data, data.index(0))))


def _line_at(data: bytes, position: int) -> int:
    return 1 + sum(1 for _ in _LINE_BREAK.finditer(data, 0, position))
