"""A strict parser for chunked bodies (RFC 9112, section 7.1).

waitress also accepts bare line feeds, empty lines and any trailer. A proxy in front of us may then see the end of the
body at another place, and the rest would count as somebody else's request (request smuggling).
"""

from __future__ import annotations

import re
from typing import Any

from waitress.utilities import BadRequest

from webserver.heads import FIELD

_MAX_LINE_BYTES = 1024
_MAX_TRAILER_BYTES = 8 * 1024
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n")
_END = b"\r\n"


class ChunkedBody:
    """Replaces waitress's `ChunkedReceiver`: takes what arrives, and writes the chunks' data to a buffer."""

    completed = False
    error: BadRequest | None = None

    def __init__(self, buf: Any) -> None:
        self.buf = buf
        self._line = b""
        self._data_left = 0
        self._trailer_bytes = 0
        self._read_line = self._read_size

    def __len__(self) -> int:
        return len(self.buf)

    def getfile(self) -> Any:
        return self.buf.getfile()

    def getbuf(self) -> Any:
        return self.buf

    def received(self, data: bytes) -> int:
        """Take the part of the data that belongs to this body. Returns its number of bytes."""
        at = 0
        while at < len(data) and not self.completed and not self.error:
            if self._data_left:
                part = data[at : at + self._data_left]
                self.buf.append(part)
                self._data_left -= len(part)
            else:
                part = data[at : data.find(b"\n", at) + 1 or len(data)]
                self._take(part)
            at += len(part)
        return at

    def _take(self, part: bytes) -> None:
        self._line += part
        if len(self._line) > _MAX_LINE_BYTES:
            self._refuse()
        elif self._line.endswith(b"\n"):
            line, self._line = self._line, b""
            self._read_line(line)

    def _read_size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            self._refuse()
            return
        self._data_left = int(found[1], 16)
        self._read_line = self._read_end if self._data_left else self._read_trailer

    def _read_end(self, line: bytes) -> None:
        if line != _END:
            self._refuse()
        self._read_line = self._read_size

    def _read_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if line == _END:
            self.completed = True
        elif self._trailer_bytes > _MAX_TRAILER_BYTES or not FIELD.fullmatch(line.removesuffix(_END)):
            self._refuse()

    def _refuse(self) -> None:
        self.error = BadRequest("The chunks of the body cannot be understood")
