"""The ZIP archive that an .xlsx or .ods file is: what it holds, and how large it is unpacked."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Final
from xml.parsers.expat import ExpatError, ParserCreate, errors
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from workbook_reader.answers import BROKEN, ENCRYPTED, TOO_LARGE, Unreadable
from workbook_reader.limits import MAX_UNPACKED

_NO_MEMORY: Final = errors.codes[errors.XML_ERROR_NO_MEMORY]
_STEP: Final = 64 * 1024
_LOCAL_HEADER: Final = 30  # bytes before the name


def opened(data: bytes) -> ZipFile:
    """The archive, if it is not too large unpacked. Raises `Unreadable`, and the errors of zipfile if it is damaged."""
    archive = ZipFile(io.BytesIO(data))
    entries = archive.infolist()
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unreadable(ENCRYPTED, "")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise Unreadable(TOO_LARGE, "unpacked")
    # An archive may say that it is smaller than it is.
    left = MAX_UNPACKED
    for entry in entries:
        left -= _unpacked_size(data, entry, left)
    return archive


def _unpacked_size(data: bytes, entry: ZipInfo, most: int) -> int:
    """The bytes of an entry, unpacked piece by piece."""
    header = entry.header_offset
    names = data[header + 26 : header + _LOCAL_HEADER]
    start = header + _LOCAL_HEADER + int.from_bytes(names[:2], "little") + int.from_bytes(names[2:], "little")
    end = start + entry.compress_size
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED) or end > len(data):
        raise Unreadable(BROKEN, "damaged")
    if entry.compress_type == ZIP_STORED:
        return entry.compress_size
    size = 0
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    for at in range(start, end, _STEP):
        piece = data[at : min(at + _STEP, end)]
        while piece:
            size += len(unpacker.decompress(piece, _STEP))
            piece = unpacker.unconsumed_tail
            if size > most:
                raise Unreadable(TOO_LARGE, "unpacked")
    return size


class Stop(Exception):
    """The rest of an XML document is of no interest."""


def walk(
    archive: ZipFile,
    name: str,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> None:
    """Call these for the elements and texts of an XML document in the archive, until one raises `Stop`.

    Names keep their prefix. A document type, and with it every entity of its own, is refused.
    """
    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        with archive.open(name) as document:
            while piece := document.read(_STEP):
                parser.Parse(piece)
        parser.Parse(b"", True)
    except Stop:
        return
    except ExpatError as error:
        if error.code == _NO_MEMORY:
            raise MemoryError from error
        raise


def _refuse_doctype(*_declared: object) -> None:
    raise Unreadable(BROKEN, "entities")


def local(name: str) -> str:
    """The name of an element or attribute without its prefix."""
    return name[name.find(":") + 1 :]
