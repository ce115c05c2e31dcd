"""Strips a picture's file before a decoder sees it: only the parts that draw the picture remain, no metadata. Pure.

Decoders read metadata eagerly, and the metadata in a small file can unpack to gigabytes or take minutes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

Format = Literal["PNG", "JPEG", "WEBP"]

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_DATA = b"IDAT"
_PNG_ONCE = {b"IHDR", b"PLTE", b"tRNS"}
_PNG_END = b"IEND"

_JPEG_HEAD = b"\xff\xd8\xff"
_START_OF_SCAN = 0xDA
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
_APPLICATION_OR_COMMENT = {*range(0xE0, 0xF0), 0xFE}
_MOST_SEGMENTS = 1000
# Each scan covers the whole picture again. Usual files have one scan, progressive ones about ten.
_MOST_SCANS = 64

_ORIENTATION = 0x0112


class Unreadable(Exception):
    """The file is not a picture of a known format, or is one that no honest program makes."""


@dataclass(frozen=True)
class PictureFile:
    format: Format
    data: bytes
    """The file without its metadata. Only a WebP file keeps them, because its decoder does not look into them."""
    exif: bytes
    """The Exif block, if one was found while the metadata were stripped."""


def picture_file(data: bytes) -> PictureFile:
    """Strip a file of its metadata, in time linear in its length. Raises `Unreadable`."""
    if data.startswith(_PNG_HEAD):
        return _png(data)
    if data.startswith(_JPEG_HEAD):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return PictureFile("WEBP", data, b"")
    raise Unreadable


def orientation(exif: bytes) -> int:
    """A picture's orientation, 1 to 8 as defined by Exif. Returns 1 if the block does not say it, or is broken.

    Only this one Exif tag is read. Every tag may claim the whole block as its value, and reading all of them would copy
    the block for each.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for number in range(count):
            tag, _kind, _count, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * number)
            if tag == _ORIENTATION:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _png(data: bytes) -> PictureFile:
    kept, seen, exif = [_PNG_HEAD], set(), b""
    at, kind = len(_PNG_HEAD), b""
    while kind != _PNG_END and at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind in {_PNG_DATA, _PNG_END} or (kind in _PNG_ONCE and kind not in seen):
            kept.append(data[at:end])
            seen.add(kind)
        elif kind == b"eXIf":
            exif = data[at + 8 : end - 4]
        at = end
    return PictureFile("PNG", b"".join(kept), exif)


def _jpeg(data: bytes) -> PictureFile:
    kept, seen, exif, at = [data[:2]], set(), b"", 2
    for _segment in range(_MOST_SEGMENTS):
        mark, marker, length = struct.unpack(">BBH", data[at : at + 4].ljust(4, b"\0"))
        if mark != 0xFF:
            break
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == _START_OF_SCAN:
            rest = data[at:]
            # In compressed data no 0xFF is followed by this byte.
            if rest.count(bytes((0xFF, _START_OF_SCAN))) > _MOST_SCANS:
                break
            return PictureFile("JPEG", b"".join((*kept, rest)), exif)
        segment = data[at : at + 2 + length]
        if marker not in _APPLICATION_OR_COMMENT or (marker in {_JFIF, _ADOBE} and marker not in seen):
            # Of all application segments, only these two define which colours are meant.
            kept.append(segment)
            seen.add(marker)
        elif marker == _EXIF and not exif and segment[4:10] == b"Exif\0\0":
            exif = segment[4:]
        at += 2 + length
    raise Unreadable
