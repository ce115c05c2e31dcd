"""Logos: a picture comes out painted anew, and whatever else was in the file does not."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from app.branding.logo import BOX, MAX_BYTES, LogoError, read_logo
from tests.support.pictures import HOSTILE, a_picture, jpeg_with, png, png_of_size, segment
from tests.support.together import at_once


def opened(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


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


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_turned_as_a_viewer_turns_it(kind: str, turn: int) -> None:
    """As Pillow's own `exif_transpose` does, which would read all of the metadata."""
    exif = Image.Exif()
    exif[0x0112] = turn
    file, drawn = io.BytesIO(), Image.new("RGB", (120, 60), "white")
    drawn.paste("black", (0, 0, 40, 20))
    drawn.save(file, kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue()))).convert("L")
    difference = ImageChops.difference(opened(read_logo(file.getvalue()).png).convert("L"), upright)
    assert ImageStat.Stat(difference).mean[0] < 2


@pytest.mark.parametrize(
    "exif",
    [b"", b"MM", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12" + b"\xff" * 8],
)
def test_a_picture_whose_orientation_is_broken_is_not_turned(exif: bytes) -> None:
    made = read_logo(jpeg_with(segment(0xE1, b"Exif\0\0" + exif)))
    assert (made.width, made.height) == (100, 100)


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
        "nothing": (b"", "can't be read as a picture"),
        "a text": (b"hello", "can't be read as a picture"),
        "half a picture": (a_picture()[:200], "can't be read as a picture"),
        "a GIF": (a_picture("GIF"), "can't be read as a picture"),
        "a bitmap": (a_picture("BMP"), "can't be read as a picture"),
        "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>', "SVG files can't be used"),
        "an SVG with a head": (b'\xef\xbb\xbf<?xml version="1.0"?><svg/>', "SVG files can't be used"),
        "one that says it is huge": (png_of_size(30_000, 30_000), "too many pixels"),
        "one column": (png_of_size(1, 8_001), "longer than 8,000 pixels"),
        "one row": (png_of_size(8_000, 399), "more than 20 times as long"),
        "many pixels": (png_of_size(3_000, 2_001), "too many pixels"),
        "one with a lie in it": (png_of_size(1000, 1000), "can't be read as a picture"),
        "too many bytes": (bytes(MAX_BYTES + 1), "larger than 2 MB"),
    }.values(),
)
def test_what_cannot_be_used_is_refused_with_a_sentence(data: bytes, why: str) -> None:
    with pytest.raises(LogoError, match=why):
        read_logo(data)


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_picture_takes_a_few_seconds_at_most(make: Callable[[], bytes]) -> None:
    data = make()
    assert len(data) <= MAX_BYTES
    began = time.process_time()
    with suppress(LogoError):
        read_logo(data)
    assert time.process_time() - began < 4


def test_whoever_waits_too_long_for_other_pictures_is_told_so() -> None:
    slow = png(1700, 1700, depth=16, is_interlaced=True)

    def hurried() -> str:
        try:
            read_logo(slow, patience=0)
        except LogoError as error:
            return str(error.message)
        return ""

    told = at_once([hurried] * 4)
    assert set(told) == {"", "Other logos are being processed right now. Try again in a minute."}
    assert read_logo(slow).width == 160


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
