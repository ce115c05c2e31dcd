"""Turns an uploaded picture into one that we serve. Pure.

A logo is drawn anew as a small PNG. So nothing that was hidden in the file, such as the place where a photo was taken,
comes through, and a mail with the logo stays small.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from threading import Lock

from PIL import Image

from app.branding.picture_file import Format, PictureFile, orientation, picture_file
from app.core.i18n import lazy

MAX_BYTES = 2 * 1024 * 1024
MAX_PIXELS: Mapping[Format, int] = {"PNG": 4_000_000, "JPEG": 4_000_000, "WEBP": 2_000_000}
"""A decoder needs up to 8 bytes per pixel of a PNG or a JPEG, and 16 of a WebP: at most 32 MB."""
MAX_SIDE = 8000
MAX_RATIO = 20
"""The longer side divided by the shorter one."""
BOX = (480, 160)
"""A logo must fit into this box, in pixels. It is twice the size at which the logo is shown."""
TOO_LARGE = lazy("This file is larger than 2 MB. Save the picture smaller and try again.")
_TOO_MANY_PIXELS = lazy("The picture has too many pixels. Save it smaller, for example 1,000 pixels wide.")
_TOO_LONG = lazy("One side is longer than 8,000 pixels. Save the picture smaller, for example 1,000 pixels wide.")
_TOO_NARROW = lazy("One side is more than 20 times as long as the other. Crop the picture closer to the logo.")

_COLOURS = 256
_SMALL_BYTES = 40 * 1024
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By Exif's number of the orientation."""

# A process draws one picture at a time, because many at once would need many times the memory.
_PAINTING = Lock()
_PATIENCE = 10.0  # seconds; a picture takes less than one


class LogoError(Exception):
    """The picture cannot be used. `message` says why, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class Picture:
    png: bytes
    width: int
    height: int


def read_logo(data: bytes, *, patience: float = _PATIENCE) -> Picture:
    """Draw an uploaded picture anew. Raises `LogoError`. Needs at most 64 MB, for a moment.

    A process draws one at a time. `patience` is how many seconds to wait for others.
    """
    if len(data) > MAX_BYTES:
        raise LogoError(TOO_LARGE)
    head = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<?xml", b"<!doctype")):
        raise LogoError(lazy("SVG files can't be used because mail programs don't show them. Export the logo as PNG."))
    if not _PAINTING.acquire(timeout=patience):
        raise LogoError(lazy("Other logos are being processed right now. Try again in a minute."))
    try:
        file = picture_file(data)
        painted, exif = _opened(file)
        return _as_png(_shrunk(painted, orientation(file.exif or exif)))
    except LogoError:
        raise
    # Decoders may raise any error on a broken or hostile file.
    except Exception:  # noqa: S110
        pass
    finally:
        _PAINTING.release()
    # Raised outside the except block, and not "from" the decoder's error: that error would keep all unpacked data
    # alive.
    raise LogoError(lazy("This file can't be read as a picture. Choose a PNG, JPEG or WebP file."))


def _opened(file: PictureFile) -> tuple[Image.Image, bytes]:
    """The picture, and its Exif block if the decoder found one. Releases whatever the decoder holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            opened = Image.open(BytesIO(file.data), formats=(file.format,))
        except Image.DecompressionBombError as error:
            # The picture has so many pixels that the library does not even begin.
            raise LogoError(_TOO_MANY_PIXELS) from error
    with opened as picture:
        # The size is checked here, before anything is unpacked.
        _check_size(*picture.size, MAX_PIXELS[file.format])
        picture.draft("RGB", BOX)
        return picture.convert("RGBA"), picture.info.get("exif", b"")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if max(width, height) > MAX_SIDE:
        raise LogoError(_TOO_LONG)
    if max(width, height) > MAX_RATIO * min(width, height):
        raise LogoError(_TOO_NARROW)
    if width * height > max_pixels:
        raise LogoError(_TOO_MANY_PIXELS)


def _shrunk(painted: Image.Image, turn: int) -> Image.Image:
    """The picture upright and inside the box. It is rotated after it was shrunk, which needs less memory."""
    painted.thumbnail(BOX if turn < 5 else BOX[::-1], Image.Resampling.LANCZOS)
    return painted.transpose(_TURNS[turn]) if turn in _TURNS else painted


def _as_png(painted: Image.Image) -> Picture:
    def written(picture: Image.Image) -> bytes:
        file = BytesIO()
        picture.save(file, "PNG", optimize=True)
        return file.getvalue()

    png = written(painted)
    if len(png) > _SMALL_BYTES:
        # For a photo or soft gradients: with fewer colours the file is a third as large, and every mail carries it.
        png = min(png, written(painted.quantize(_COLOURS, Image.Quantize.FASTOCTREE)), key=len)
    return Picture(png, painted.width, painted.height)
