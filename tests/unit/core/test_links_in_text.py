"""A mail program makes no link of a name, and a text that holds one is known."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.text import defuse_links, holds_link
from tests.unit.core.any_text import ANY_TEXT, any_example

# What the linkers of the common mail clients look for, put loosely.
LINKABLE = re.compile(
    r"[a-z][a-z0-9+.-]*:\S|//\w|\bwww[.．]|[^\W_]@[^\W_]|\w[.．][^\W\d_]\w+|[.．]भारत",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "name",
    [
        "http://evil.example",
        "HTTPS://EVIL.EXAMPLE/login?a=b",
        "Your bank: https://evil.example",
        "www.evil.example",
        "WWW.1und1.de",
        "evil.com/path",
        "login.evil.co.uk",
        "müller．com",
        "a@b.example",
        "//evil.example",
        "mailto:ann",
        "tel:+4930123456",
        "पाठ.भारत",
        "ｅｖｉｌ．ｃｏｍ",
        "localhost:8080",
    ],
)
def test_no_mail_client_makes_a_link_of_a_name(name: str) -> None:
    assert LINKABLE.search(name)
    assert not LINKABLE.search(defuse_links(name))
    assert defuse_links(name).replace("\u200b", "") == name


@pytest.mark.parametrize(
    "name",
    [
        "Müller & Co. KG",
        "A/B Tools Ltd.",
        "Acme Co.,Ltd.",
        "S.A. de C.V.",
        "J.P. Morgan: Partners",
        "Studio 10:30",
        "No.1 Version 2.0",
        "AT&T, Inc. @ Home",
        "株式会社・テスト",
        "…and more…",
    ],
)
def test_an_ordinary_name_is_left_alone(name: str) -> None:
    assert defuse_links(name) == name


@pytest.mark.parametrize(
    "text",
    [
        *(f"evil{dot}example" for dot in ".。．｡․﹒︒"),
        *(f"www{dot}evil" for dot in ".。．｡․﹒︒"),
        "1.2.3.4:8080/login",
        "1.2.3.4/login",
        "１．２．３．４/login",
        "1。2。3。4/login",
        "http://1.2.3.4",
        "[::1]/login",
        "at [2001:db8::1]:8080",
        "0x7f000001/login",
        "2130706433/login",
        "2130706433:80",
        "localhost:8080",
        "LocalHost/login",
        "user@host",
        "user＠host",
        "user﹫host",
        "mailto:ann",
        "tel:+49",
        "javascript:x",
        "xn--e1afmkfd.xn--p1ai",
        "пример.рф",
        "例え.テスト",
        "evil。中国",
        "http：／／evil",
        "//evil",
    ],
)
def test_what_a_mail_program_may_make_a_link_of_is_known(text: str) -> None:
    assert holds_link(text)
    assert not holds_link(defuse_links(text).replace("\u200b", " "))


@pytest.mark.parametrize("text", ["evil.\ufe0fexample", "evil\u034f.\u034fexample", "e\u200bvil.\u200bexample"])
def test_what_cannot_be_seen_hides_no_link(text: str) -> None:
    assert holds_link(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world.",
        "z.B. dies, u.a.m.",
        "e.g. this, i.e. that",
        "10:30/11:30, 10.30/11.30",
        "[10:30]",
        "24/7, and/or, 030/12345678",
        "No. 5, Nr.5",
        "Version 2.0.1 or 1.2.3.4",
        "24.12.2026",
        "ようこそ Harbour。ご確認ください",
        "你好。请登录。",
        "日時：明日",
        "❤️ and so on… more",
        "(see below). Thanks",
    ],
)
def test_ordinary_text_holds_no_link(text: str) -> None:
    assert not holds_link(text)
    assert defuse_links(text) == text


@pytest.mark.parametrize("piece", ["a.", "1.", "[::", "www.", "@a", "a:", "0x", "/", "a。", "\u0301", "1.2.3.4/"])
def test_looking_for_links_takes_no_longer_than_the_text_is(piece: str) -> None:
    began = time.process_time()
    holds_link((piece * 100_000)[:100_000])
    assert time.process_time() - began < 2


@any_example
@given(ANY_TEXT | st.text(st.sampled_from("awW.．:/@＠ 1ü\u200b,")))
def test_defusing_only_adds_zero_width_spaces_and_is_done_once(text: str) -> None:
    defused = defuse_links(text)
    assert defused.replace("\u200b", "") == text.replace("\u200b", "")
    assert defuse_links(defused) == defused
