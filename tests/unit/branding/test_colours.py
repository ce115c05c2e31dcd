"""Colours: what is one, and that what is written on it or in it can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.branding.colours import AA, contrast, ink_on, parsed_colour, readable_on

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@pytest.mark.parametrize(
    ("typed", "colour"),
    {"#0f5fa8": "#0f5fa8", " #0F5FA8 ": "#0f5fa8", "0f5fa8": "#0f5fa8", "#09c": "#0099cc"}.items(),
)
def test_a_colour_is_understood_as_people_type_it(typed: str, colour: str) -> None:
    assert parsed_colour(typed) == colour


@pytest.mark.parametrize("typed", ["", "#", "red", "#12345", "#1234567", "#gggggg", "#fff;}", "rgb(1,2,3)", "#０９ｃ"])
def test_what_is_no_colour_is_none(typed: str) -> None:
    assert parsed_colour(typed) is None


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#ffffff", "#ff0000") == pytest.approx(4.0, abs=0.005)


@given(COLOURS)
def test_what_is_written_on_a_colour_can_be_read(colour: str) -> None:
    assert contrast(ink_on(colour), colour) >= AA


@given(COLOURS, st.sampled_from(["#ffffff", "#e8f1fa", "#10151c", "#303c4a"]))
def test_a_colour_for_writing_can_be_read_and_is_the_colour_itself_where_that_can_be(colour: str, ground: str) -> None:
    found = readable_on(ground, colour)
    assert contrast(found, ground) >= AA
    assert (found == colour) == (contrast(colour, ground) >= AA)
