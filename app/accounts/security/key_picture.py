"""A key as a picture to scan, and as a text to type."""

from __future__ import annotations

import segno
from markupsafe import Markup

_GROUP = 4


def qr_code(address: str) -> Markup:
    """An address as the SVG of a QR code, dark on light in every theme, as apps want it."""
    code = segno.make(address, error="m", micro=False)
    svg = code.svg_inline(border=4, omitsize=True, dark="#000", light="#fff", svgclass="qr-code", lineclass=None)
    return Markup(svg)  # noqa: S704 - squares that the library drew


def grouped(key: str) -> str:
    """A key in groups of four, which are easier to type."""
    return " ".join(key[at : at + _GROUP] for at in range(0, len(key), _GROUP))
