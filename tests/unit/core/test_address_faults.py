"""An address that is refused is told what is wrong with it, by kind and not by example."""

from __future__ import annotations

import unicodedata

import pytest

from app.core.address_faults import QUOTES
from app.core.lookalikes import plain_form
from app.core.text import clean_email
from app.core.text_errors import TextError


def fault_of(raw: str) -> TextError:
    with pytest.raises(TextError) as caught:
        clean_email(raw)
    return caught.value


def test_whatever_unicode_calls_a_quotation_mark_is_one() -> None:
    named = [chr(code) for code in range(0x80, 0x20000) if "QUOTATION MARK" in unicodedata.name(chr(code), "")]
    assert [mark for mark in named if fault_of(f"{mark}ann@acme.test{mark}").code != "email_quote_mark"] == []


KINDS = {
    "email_quote_mark": [
        *(f"{mark}ann@acme.test{mark}" for mark in QUOTES),
        *(f"{mark}ann@acme.test" for mark in QUOTES),
        *(f"ann@acme.test{mark}" for mark in QUOTES),
        "“ann@acme.test”",
        " 'ann@acme.test' ",
        "'ann@acme.test',",
        "ann@acme.test,'",
        "''ann@acme.test''",
        "'o'brien@acme.test'",
    ],
    "email_trailing_mark": [
        *(f"ann@acme.test{mark}" for mark in ",;./?:!|\\)]}*#&_-。、；，…·"),
        "ann@acme.test,,",
        "ann@acme.test ;",
        "ann@acme.test ...",
        "ann@acme.test?subject=Hello",
        "ann@acme.test?cc=bob@acme.test",
        "ann@acme.test/contact",
        "o'brien@acme.test;",
    ],
    "email_comma_in_domain": [
        "ann@acme,test",
        "ann@mail,acme.test",
        "ann@acme, test",
        "ann@acme;test",
        "ann@acme，test",
    ],
    "email_double_at": ["ann@@acme.test", "ann@bob@acme.test", "ann@acme.test@", "@@"],
    "email_mailto": ["mailto:ann@acme.test", "MAILTO: ann@acme.test", "smtp:ann@acme.test", "<mailto:ann@acme.test>"],
    "email_several": [
        "ann@acme.test,bob@acme.test",
        "ann@acme.test; bob@acme.test",
        "ann@acme.test bob@acme.test",
        "ann@acme.test / bob@acme.test",
        "ann@acme.test & bob@acme.test",
        "Ann <ann@acme.test>; Bob <bob@acme.test>",
    ],
    "email_spreadsheet_error": ["#N/A", "#NV", "#NOM?", "#REF!", "####", " #ИМЯ? "],
    "email_angle_bracket": ["Ann <ann@acme.test>", "ann@acme.test>"],
    "email_space": [
        "ann @acme.test",
        "ann at acme.test",
        "Acme, Ann ann@acme.test",
        "ann@acme.test (work)",
        '"Ann" ann@acme.test',
    ],
    "email_no_at": ["acme", "Acme, Inc"],
    "email_local": ["a,b@acme.test", "ann.@acme.test"],
    "email_domain": ["ann@acme", "ann@acme;"],
    "email_local_not_ascii": ["jürgen@acme.test", "иван@acme.test", "用户@acme.test"],
}


@pytest.mark.parametrize(("code", "raw"), [(code, raw) for code, all_of_them in KINDS.items() for raw in all_of_them])
def test_a_fault_has_the_code_of_its_kind(code: str, raw: str) -> None:
    assert fault_of(raw).code == code


@pytest.mark.parametrize(
    ("raw", "letter", "plain", "place"),
    [
        ("аnn@acme.test", "а", "a", "1"),  # Cyrillic
        ("jοhn@acme.test", "ο", "o", "2"),  # Greek
        ("ınfo@acme.test", "ı", "i", "1"),
        ("inf𝐨@acme.test", "𝐨", "o", "4"),
        ("o’brien@acme.test", "’", "'", "2"),
        ("ann–marie@acme.test", "–", "-", "4"),
        ("ann@аcme.test", "а", "a", "5"),
        ("ann@my–acme.test", "–", "-", "7"),
        ("ann﹫acme.test", "﹫", "@", "4"),
    ],
)
def test_a_letter_that_looks_like_another_is_named_with_its_place(
    raw: str, letter: str, plain: str, place: str
) -> None:
    fault = fault_of(raw)
    assert fault.code == "email_letter"
    assert (fault.params["character"], fault.params["plain"], fault.params["place"]) == (letter, plain, place)
    assert f"“{letter}”" in fault.reason
    assert f"“{plain}”" in fault.remedy


@pytest.mark.parametrize(
    "raw", ["o'brien@acme.test", "a#b?c/d@acme.test", "ann@пример.рф", "ann@ırmak.test", "a`b@b.test"]
)
def test_an_odd_but_good_address_stays_good(raw: str) -> None:
    assert clean_email(raw) == raw


def test_plain_letters_look_like_nothing_else() -> None:
    assert not [character for character in map(chr, range(33, 127)) if plain_form(character) and character not in "`"]
