"""From what somebody uploads to a picture that we give out. Pure.

A logo is painted anew, small, as PNG: so nothing that was hidden in the file, nor the place where a photo was taken,
comes through, and a mail with it stays small.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from app.i18n import lazy

MAX_BYTES = 2 * 1024 * 1024
MAX_PIXELS = 20_000_000
BOX = (480, 160)
"""What a logo has to fit into, in pixels: twice the size at which it is shown."""
TOO_LARGE = lazy("This file is larger than 2 MB. Save the picture smaller and try again.")
_TOO_MANY_PIXELS = lazy("This picture has more than 20 million pixels. Save it smaller, 1,000 pixels wide, say.")

_FORMATS = ("PNG", "JPEG", "WEBP")
_COLOURS = 256
_SMALL_BYTES = 40 * 1024


class LogoError(Exception):
    """The picture cannot be used; `message` says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class Picture:
    png: bytes
    width: int
    height: int


def read_logo(data: bytes) -> Picture:
    """Paint an uploaded picture anew. Raises `LogoError`. Needs at most some 100 MB, for a moment."""
    if len(data) > MAX_BYTES:
        raise LogoError(TOO_LARGE)
    head = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<?xml", b"<!doctype")):
        raise LogoError(lazy("SVG files cannot be used, since mail programs do not show them. Export it as PNG."))
    try:
        with warnings.catch_warnings(), Image.open(BytesIO(data), formats=_FORMATS) as picture:
            # The size is checked here, before anything is unpacked.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            if picture.width * picture.height > MAX_PIXELS:
                raise LogoError(_TOO_MANY_PIXELS)
            picture.draft("RGB", BOX)
            painted = ImageOps.exif_transpose(picture).convert("RGBA")
            painted.thumbnail(BOX, Image.Resampling.LANCZOS)
            return _as_png(painted)
    except LogoError:
        raise
    except Image.DecompressionBombError as error:
        # So many that the library does not even begin.
        raise LogoError(_TOO_MANY_PIXELS) from error
    # Whatever a decoder makes of a broken or hostile file.
    except Exception as error:
        raise LogoError(lazy("This is no picture that can be read. Choose a PNG, JPEG or WebP file.")) from error


def _as_png(painted: Image.Image) -> Picture:
    def written(picture: Image.Image) -> bytes:
        file = BytesIO()
        picture.save(file, "PNG", optimize=True)
        return file.getvalue()

    png = written(painted)
    if len(png) > _SMALL_BYTES:
        # A photo, or soft gradients: with fewer colours it is a third as large, which every mail carries.
        png = min(png, written(painted.quantize(_COLOURS, Image.Quantize.FASTOCTREE)), key=len)
    return Picture(png, painted.width, painted.height)
