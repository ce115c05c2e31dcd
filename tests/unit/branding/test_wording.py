"""A portal's own words: their placeholders, and those that are none."""

from __future__ import annotations

import pytest

from app.branding.wording import PLACEHOLDERS, filled, unknown_placeholder

VALUES = {name: f"<{name}>" for name in PLACEHOLDERS}


def test_placeholders_are_filled_in_and_nothing_else() -> None:
    text = "{inviter} asks {company} aboard {portal}, by {expiry}. {company}! 100 % $company %(company)s"
    assert filled(text, VALUES) == (
        "<inviter> asks <company> aboard <portal>, by <expiry>. <company>! 100 % $company %(company)s"
    )


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    assert filled("{company}", VALUES | {"company": "{portal} \\1"}) == "{portal} \\1"


@pytest.mark.parametrize(
    ("text", "stray"),
    {
        "Hello": None,
        "{company} and {portal}": None,
        "{Company}": "{Company}",
        "{ company }": "{ company }",
        "{}": "{}",
        "{company": "{",
        "company}": "}",
        "{{company}}": "{",
        "{company.__class__}": "{company.__class__}",
        "{company!r}": "{company!r}",
    }.items(),
)
def test_a_brace_that_begins_no_placeholder_is_found(text: str, stray: str | None) -> None:
    assert unknown_placeholder(text) == stray
