"""The message of an invitation: what is stored of what was typed, and what is refused, with its sentence."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.text import MESSAGE_MAX_LENGTH, clean_message, holds_link
from app.core.text_errors import TextError

ACCEPTED = {
    "": None,
    " \t\r\n\u00a0\n": None,
    "Welcome!": "Welcome!",
    "  Dear all,\r\n\r\nwe move.\rSoon.\n": "Dear all,\n\nwe move.\nSoon.",
    "one\u2028two\u2029three\x85four": "one\ntwo\nthree\nfour",
    "kept  as\ttyped  \nnext": "kept  as typed\nnext",
    "Une remarque\u00a0: bienvenue\u202f!": "Une remarque\u00a0: bienvenue\u202f!",
    "re\u0301union": "r\u00e9union",
    "مرحبا\nHello, 您好。请登录。 ❤️": "مرحبا\nHello, 您好。请登录。 ❤️",
    "Rate: 10 % <b>off</b> {company} & “more” =?utf-8?q?x?=": "Rate: 10 % <b>off</b> {company} & “more” =?utf-8?q?x?=",
    "The end.\nThe next line.": "The end.\nThe next line.",
    ".\n.": ".\n.",
    "é" * 500: "é" * 500,
    "e\u0301" * 500: "é" * 500,
    "a\r\n" * 250: ("a\n" * 250).strip(),
}


@pytest.mark.parametrize("typed", ACCEPTED)
def test_what_is_stored(typed: str) -> None:
    assert clean_message(typed) == ACCEPTED[typed]


REFUSED = {
    "message_too_long": ["x" * 501, "x" * 100_000, "\u0301" * 100_000, "a\n" * 251],
    "message_invisible": [
        f"a{character}b"
        for character in (
            "\x00\x08\x0b\x0c\x1b\x7f\u034f\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2066\u2069"
            "\u3164\ue000\ufeff"
        )
    ],
    "message_link": [
        "See www.evil.test now",
        "https://evil.test",
        "evil.test/x",
        "write to ann@evil.test",
        "mailto:ann",
        "evil\ufe0f.test",
        "first line\nevil.test",
        "No space.Here",
    ],
}


@pytest.mark.parametrize(("code", "typed"), [(code, typed) for code, several in REFUSED.items() for typed in several])
def test_what_is_refused_is_told_with_its_code_and_what_to_do(code: str, typed: str) -> None:
    with pytest.raises(TextError) as refused:
        clean_message(typed)
    assert refused.value.code == code
    assert refused.value.remedy


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n\t .\u00a0\u0301\ufe0f"), max_size=600))
def test_a_clean_message_is_short_plain_and_clean_for_good(typed: str) -> None:
    try:
        message = clean_message(typed)
    except TextError:
        return
    if message is not None:
        assert clean_message(message) == message
        assert 0 < len(message) <= MESSAGE_MAX_LENGTH
        assert unicodedata.is_normalized("NFC", message)
        assert message.splitlines() == message.split("\n")
        assert not holds_link(message)
