"""Headers that are not ASCII: each encoded word can be read alone, and no reader stops before the last."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from email.header import decode_header, make_header
from email.quoprimime import header_decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.outbox.encoded_words import encoded_mailbox, encoded_words

# Characters of one to four octets, and runs of one kind, of which no number has a multiple of 3 octets in front of it.
TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20),
        st.sampled_from(["a", "é", "旅行" * 20, "a" + "旅" * 30, "é" + "旅" * 30, "🎉" * 12, "ab" * 30, "é" * 40]),
    ),
    min_size=1,
    max_size=5,
).map("".join)
WORD = re.compile(r"=\?utf-8\?([bq])\?([A-Za-z0-9+/=]+)\?=")


def octets_of(word: str) -> bytes:
    found = WORD.fullmatch(word)
    assert found is not None, word
    encoding, content = found.groups()
    return b64decode(content, validate=True) if encoding == "b" else header_decode(content).encode("latin-1")


@given(text=TEXTS)
@settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "200")), deadline=None)
def test_each_word_is_whole_and_only_the_last_is_padded(text: str) -> None:
    header = encoded_words(text)
    words = header.split("\r\n ")
    assert "".join(octets_of(word).decode() for word in words) == text
    assert not any(word.endswith("=?=") for word in words[:-1])
    assert max(map(len, words)) <= 75
    assert max(map(len, f"Reply-To: {header}".split("\r\n"))) <= 76
    assert str(make_header(decode_header(header))) == text


@pytest.mark.parametrize("text", ["a" + "旅" * 30, "é" + "旅" * 30, "旅" * 5 + "a" + "旅" * 30])
def test_a_letter_that_shifts_all_others_gets_a_word_of_its_own(text: str) -> None:
    assert "=?utf-8?q?" in encoded_words(text)


@given(name=TEXTS, local=st.integers(1, 64), domain=st.integers(1, 200))
@settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "50")), deadline=None)
def test_a_line_with_a_name_is_no_longer_than_76(name: str, local: int, domain: int) -> None:
    header = "Reply-To: " + encoded_mailbox(name, "a" * local + "@" + "b" * domain)
    for line in header.split("\r\n"):
        assert len(line) <= 76 or "=?" not in line
