"""Logos: a picture comes out painted anew, and whatever else was in the file does not."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from PIL import Image

from app.branding.logo import BOX, MAX_BYTES, LogoError, read_logo


def a_picture(kind: str = "PNG", size: tuple[int, int] = (600, 200), mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, "teal").save(file, kind, **options)
    return file.getvalue()


def opened(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that says it is so large, with next to nothing in it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_comes_out_as_a_small_png_of_the_same_shape(kind: str) -> None:
    made = read_logo(a_picture(kind, (1200, 300)))
    assert (made.width, made.height) == (480, 120)
    picture = opened(made.png)
    assert (picture.format, picture.size) == ("PNG", (480, 120))
    assert len(made.png) < 40 * 1024


def test_a_small_picture_keeps_its_size_and_what_shows_through_it() -> None:
    made = read_logo(a_picture(size=(90, 40), mode="RGBA"))
    assert (made.width, made.height) == (90, 40)
    file = io.BytesIO()
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(file, "PNG")
    assert opened(read_logo(file.getvalue()).png).convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_a_photo_is_turned_upright_and_does_not_tell_where_it_was_taken() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x010E] = "a quiet secret"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 1.0)  # a latitude
    made = read_logo(a_picture("JPEG", (100, 50), exif=exif))
    assert (made.width, made.height) == (50, 100)
    assert b"quiet secret" not in made.png
    assert not opened(made.png).getexif()
    assert set(opened(made.png).info) <= {"transparency"}


def test_what_hangs_on_a_file_is_left_behind() -> None:
    hostile = b"<script>alert(1)</script>PK\x03\x04"
    assert b"script" not in read_logo(a_picture() + hostile).png
    assert b"script" not in read_logo(a_picture("JPEG", comment=hostile)).png


def test_a_large_photo_becomes_small_enough_for_a_mail() -> None:
    noise = random.Random(1).randbytes(900 * 300 * 3)
    file = io.BytesIO()
    Image.frombytes("RGB", (900, 300), noise).save(file, "JPEG")
    assert len(read_logo(file.getvalue()).png) < 100 * 1024
    assert opened(read_logo(file.getvalue()).png).size == (480, 160)
    assert BOX == (480, 160)


@pytest.mark.parametrize(
    ("data", "why"),
    {
        "nothing": (b"", "no picture"),
        "a text": (b"hello", "no picture"),
        "half a picture": (a_picture()[:200], "no picture"),
        "a GIF": (a_picture("GIF"), "no picture"),
        "a bitmap": (a_picture("BMP"), "no picture"),
        "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>', "SVG files cannot be used"),
        "an SVG with a head": (b'\xef\xbb\xbf<?xml version="1.0"?><svg/>', "SVG files cannot be used"),
        "one that says it is huge": (png_of_size(30_000, 30_000), "20 million pixels"),
        "one with a lie in it": (png_of_size(1000, 1000), "no picture"),
        "too many bytes": (bytes(MAX_BYTES + 1), "larger than 2 MB"),
    }.values(),
)
def test_what_cannot_be_used_is_refused_with_a_sentence(data: bytes, why: str) -> None:
    with pytest.raises(LogoError, match=why):
        read_logo(data)


def test_broken_pictures_never_do_more_than_be_refused() -> None:
    chance = random.Random(7)
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = a_picture(kind, (60, 40))
        for _ in range(150):
            broken = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            try:
                made = read_logo(bytes(broken))
            except LogoError:
                continue
            assert opened(made.png).size == (made.width, made.height)
            assert made.width <= BOX[0]
            assert made.height <= BOX[1]
