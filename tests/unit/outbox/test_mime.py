"""Texts of which the larger part is encoded once: each has to read as the standard library says that its whole does."""

from __future__ import annotations

import os
import quopri

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.outbox.mime import FilledTemplate, Template, encoded, placeholder

NAMES = ("one", "other")
# What quoted-printable has rules for: ends of lines and what stands before them, "=", dots, and long lines.
PIECES = st.lists(
    st.one_of(
        st.sampled_from(["", "\n", "\r\n", " ", "\t", ".", "." * 80, "x" * 75 + ".", "=", "=\n", "é"]),
        st.sampled_from(["旅" * 40, "x" * 75, "y" * 76, "z" * 1200]),
        st.text(st.characters(codec="utf-8", exclude_characters="\ue000\ue001"), max_size=12),
    ),
    max_size=4,
).map("".join)
TEXTS = st.lists(st.one_of(PIECES, st.sampled_from([placeholder(name) for name in NAMES])), max_size=8).map("".join)


def with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read(content: bytes) -> str:
    return quopri.decodestring(content).decode().replace("\r\n", "\n")


@given(text=TEXTS, one=PIECES, other=PIECES)
@settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")), deadline=None)
def test_a_filled_text_reads_as_if_it_had_been_written_as_a_whole(text: str, one: str, other: str) -> None:
    filled = FilledTemplate(Template(text), {"one": one, "other": other})
    whole = with_lf(text).replace(placeholder("one"), with_lf(one)).replace(placeholder("other"), with_lf(other))
    assert with_lf(str(filled)) == with_lf(text.replace(placeholder("one"), one).replace(placeholder("other"), other))
    encoding, content = filled.encoded()
    assert encoding == "quoted-printable"
    assert read(content) == whole
    assert content.isascii()
    for line in content.split(b"\r\n"):
        # RFC 2045 says 76; the library forgets to make room for the white space that ends a full line.
        assert len(line) <= (78 if line.endswith((b"=20", b"=09")) else 76)
        assert not line.endswith((b" ", b"\t"))
        assert not line.startswith(b"."), "a server that handles the dots of SMTP wrongly would lose it"
        assert b"\n" not in line
        assert b"\r" not in line


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\nlines.\n", "7bit"),
        ("é", "quoted-printable"),
        ("x" * 999, "quoted-printable"),
        ("a\n.b\n.\n", "quoted-printable"),
    ],
)
def test_a_text_goes_as_it_is_where_any_server_passes_it_on_so(text: str, encoding: str) -> None:
    assert encoded(text).encoding == encoding
    assert read(encoded(text).content) == text


def test_a_value_that_has_a_line_for_itself_keeps_it() -> None:
    filled = FilledTemplate(
        Template(f"Your link:\n\n{placeholder('one')}\n\nBye"), {"one": "https://portal.test/invitations/a-b_c"}
    )
    assert filled.encoded().content.split(b"\r\n")[2] == b"https://portal.test/invitations/a-b_c"
