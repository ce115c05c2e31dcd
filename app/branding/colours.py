"""Contrast of colours. Pure.

The formulas and the limit are those of WCAG 2.2 (relative luminance, contrast ratio, success criterion 1.4.3).
"""

from __future__ import annotations

import re

AA = 4.5
"""The least contrast ratio of text of normal size."""

_HEX = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})")
_STEP = 0.02


def parsed_colour(typed: str) -> str | None:
    """Read a colour that a person typed (`#09c`, `0099CC`) as `#rrggbb`. Returns None if it is not a colour."""
    found = _HEX.fullmatch(typed.strip().lower())
    if not found:
        return None
    digits = found[1]
    return "#" + ("".join(2 * digit for digit in digits) if len(digits) == 3 else digits)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 (none) to 21 (black on white)."""
    light, dark = sorted([_luminance(one), _luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink_on(colour: str) -> str:
    """Black or white, whichever has more contrast on the colour. One of them always has the contrast `AA`."""
    return max("#ffffff", "#000000", key=lambda ink: contrast(ink, colour))


def readable_on(background: str, colour: str) -> str:
    """The colour itself if it is readable on the background, else the nearest darker or lighter one that is."""
    target = ink_on(background)
    share = 0.0
    mixed = colour
    while contrast(mixed, background) < AA:
        share += _STEP
        mixed = _mix(colour, target, share)
    return mixed


def _mix(one: str, other: str, share: float) -> str:
    return "#" + "".join(
        f"{round(a + (b - a) * min(share, 1.0)):02x}" for a, b in zip(_channels(one), _channels(other), strict=True)
    )


def _channels(colour: str) -> list[int]:
    return [int(colour[n : n + 2], 16) for n in (1, 3, 5)]


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    red, green, blue = linear
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
