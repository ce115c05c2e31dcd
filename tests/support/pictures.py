"""Pictures that somebody makes to hurt us, each small enough to be uploaded."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from random import Random
from typing import Any

from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_RGB, _RGBA = 2, 6


def a_picture(kind: str = "PNG", size: tuple[int, int] = (600, 200), mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, "teal").save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *, depth: int = 8, is_interlaced: bool = False, hung_on: bytes = b"") -> bytes:
    """A black PNG with transparency, of any size."""
    head = struct.pack(">IIBBBBB", width, height, depth, _RGBA, 0, 0, is_interlaced)
    pixels, rows = zlib.compressobj(9), height * 2 if is_interlaced else height
    data = b"".join(pixels.compress(bytes(width * depth // 2 + 1)) for _row in range(rows)) + pixels.flush()
    return _PNG + chunk(b"IHDR", head) + hung_on + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that says it is so large, with next to nothing in it."""
    head = struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)
    return _PNG + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg_with(segments: bytes) -> bytes:
    """A small JPEG with these segments first in it."""
    whole = a_picture("JPEG", (100, 100))
    return whole[:2] + segments + whole[2:]


def segment(marker: int, content: bytes) -> bytes:
    """A part of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def greedy_tags(count: int, size: int) -> bytes:
    """Exif's structure, with tags each of which claims to have nearly all of the block as its value."""
    tags = b"".join(struct.pack(">HHII", number, 7, size, 8) for number in range(count))
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", count) + tags


def many_scans(count: int) -> bytes:
    """A progressive JPEG that goes over the whole picture again and again."""
    whole = a_picture("JPEG", (2000, 1400), "L", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * count + whole[-2:]


def animated(kind: str, size: tuple[int, int], count: int) -> bytes:
    frames = [Image.new("RGB", size, (n * 37 % 255, n * 91 % 255, n % 255)) for n in range(count)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


_MEGABYTE = b"k\0\0" + zlib.compress(bytes(1_000_000), 9)
"""A name, and a megabyte of nothing, as several of a PNG's chunks hold it."""
_LARGEST, _LARGEST_WEBP = (2000, 2000), (1414, 1414)

HOSTILE: Mapping[str, Callable[[], bytes]] = {
    "one column": lambda: png_of_size(1, 19_999_999),
    "one row": lambda: png_of_size(19_999_999, 1),
    "a pixel bomb": lambda: png_of_size(30_000, 30_000),
    "PNG, 8 bits": lambda: png(*_LARGEST),
    "PNG, 16 bits": lambda: png(*_LARGEST, depth=16),
    "PNG, interlaced": lambda: png(*_LARGEST, depth=16, is_interlaced=True),
    "PNG, tall": lambda: png(440, 8000),
    "PNG, truncated": lambda: png(*_LARGEST)[:-600],
    "PNG, a thousand profiles": lambda: png(100, 100, hung_on=chunk(b"iCCP", _MEGABYTE) * 1500),
    "PNG, a thousand texts": lambda: png(100, 100, hung_on=chunk(b"zTXt", _MEGABYTE) * 1500),
    "PNG, greedy tags": lambda: png(100, 100, hung_on=chunk(b"eXIf", greedy_tags(1000, 11_000))),
    "PNG, 160,000 chunks": lambda: png(100, 100, hung_on=chunk(b"abCd", b"") * 160_000),
    "JPEG, baseline": lambda: a_picture("JPEG", _LARGEST, quality=95, subsampling=0),
    "JPEG, progressive, four colours": lambda: a_picture("JPEG", _LARGEST, "CMYK", progressive=True),
    "JPEG, ten thousand scans": lambda: many_scans(10_000),
    "JPEG, greedy tags": lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + greedy_tags(5000, 60_000))),
    "JPEG, greedy tags of several pictures": lambda: jpeg_with(segment(0xE2, b"MPF\0" + greedy_tags(5000, 60_000))),
    "JPEG, 400,000 segments": lambda: jpeg_with(segment(0xE2, b"") * 400_000),
    "JPEG, 400,000 tables": lambda: jpeg_with(segment(0xDB, b"") * 400_000),
    "JPEG, padding": lambda: jpeg_with(b"\xff" * 1_900_000),
    "WebP": lambda: a_picture("WEBP", _LARGEST_WEBP, "RGBA", lossless=True),
    "WebP, a thousand frames": lambda: animated("WEBP", (16, 16), 1000),
    "WebP, large frames": lambda: animated("WEBP", _LARGEST_WEBP, 3),
    "PNG, a thousand frames": lambda: animated("PNG", (16, 16), 1000),
    "a PNG that is a web page too": lambda: png(100, 100) + b"<html><script>alert(1)</script>",
}


def hostile_pictures(count: int) -> Iterator[tuple[str, bytes]]:
    """So many of them with their names: each as it is, and then damaged in ways that are the same in every run."""
    yield from islice(_hostile_pictures(), count)


def _hostile_pictures() -> Iterator[tuple[str, bytes]]:
    made = {name: make() for name, make in HOSTILE.items()}
    yield from made.items()
    random = Random(0)
    while True:
        for name, data in made.items():
            cut = random.randrange(1, len(data))
            yield f"{name}, {cut} bytes of it", data[:cut]
            damaged = bytearray(data)
            for _ in range(20):
                damaged[random.randrange(min(len(data), 4000))] = random.randrange(256)
            yield f"{name}, damaged", bytes(damaged)
            other = random.choice(list(made.values()))
            yield f"{name}, with another behind it", (data + other)[: 2 * 1024 * 1024]
