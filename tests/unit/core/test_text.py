"""What people type becomes what we store: tables of examples, and laws that hold for any string."""

from __future__ import annotations

import re
import sys
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core.text import clean_company_name, clean_email, clean_person_name, fold, shown_address, smtp_address
from app.core.text_errors import SENTENCES, TextError
from tests.unit.core.any_text import ANY_TEXT, any_example

# Text that comes near to what is accepted, so that the laws are not only tried on refusals.
NEAR_EMAIL = st.from_regex(
    re.compile(
        r"[ \t]?[a-zA-Z0-9.+=?\u212aé\"]{1,8}[@＠]"
        r"((xn--)?[a-zA-Zäßſ0-9-]{1,8}[.。．]){1,3}[a-zA-Z]{2,4}[ .\n]?"
    ),
    fullmatch=True,
)
NEAR_NAME = st.text(st.sampled_from("aZ9ß\u0308\u212b漢 \t\u00a0\u3000.&’・！<\n\u200d\u0338="))

LINE_BREAKS = "\n\r\x0b\x0c\x85\u2028\u2029"
UNSEEN = "\0\x7f\u00ad\u200b\u200c\u200d\u2060\ufeff\ufffe\ud800\ue000"
UNSEEN_BIDI = "\u061c\u200e\u200f\u202a\u202e\u2066\u2069"
UNSEEN_LETTERS_AND_MARKS = "\u034f\u115f\u3164\uffa0\u17b4\ufe0f\U000e0100"


def code_of_name(raw: str) -> str:
    with pytest.raises(TextError) as caught:
        clean_company_name(raw)
    return caught.value.code


def code_of_email(raw: str) -> str:
    with pytest.raises(TextError) as caught:
        clean_email(raw)
    return caught.value.code


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Acme", "Acme"),
        ("  Acme \t GmbH\u00a0", "Acme GmbH"),
        ("Acme\u3000\u2003GmbH", "Acme GmbH"),
        ("Mu\u0308ller & Co. KG", "Müller & Co. KG"),
        ("O’Neill, O'Brien – Söhne (1898) + #1 @ Home!?", None),
        ("„Zitat“ «citation» ‘a’ “b”; 50% * a_b · … ・ $ € £ ¥ 5° ™ ® ©", None),
        ("株式会社・テスト！＃１（東京）", None),
        ("ＡＢＣ．，＆＇－／＋＠？：；＂％＊＿＄￡￥", None),
        ("Ελληνικά Українська עברית العربية हिन्दी", None),
        ("½ N° 5 ²", None),
        ("1+1", None),
        ("-", "-"),
        ("http://evil.example", None),
        ("x" * 100, None),
        ("x" + " " * 5000 + "y", "x y"),
        ("\u1f82" * 100, None),
        (unicodedata.normalize("NFD", "\u1f82" * 100), "\u1f82" * 100),
    ],
)
def test_a_company_name_is_kept_but_for_its_white_space(raw: str, clean: str | None) -> None:
    assert clean_company_name(raw) == (raw if clean is None else clean)
    assert clean_person_name(raw) == (raw if clean is None else clean)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("", "name_missing"),
        (" \t\u00a0\u3000", "name_missing"),
        ("x" * 101, "name_too_long"),
        ("x" * 10_000_000, "name_too_long"),
        ("a" + "\u0301\u0316" * 1_000_000, "name_too_long"),
        *((f"Acme{line_break}GmbH", "name_line_break") for line_break in LINE_BREAKS),
        ("Acme\n", "name_line_break"),
        ("Acme\x1b[31m", "name_invisible"),
        *((f"Ac{c}me", "name_invisible") for c in UNSEEN + UNSEEN_BIDI + UNSEEN_LETTERS_AND_MARKS),
        ("<b>Acme</b>", "name_character"),
        ("Acme ＜Co＞", "name_character"),
        ("Acme <\u0338", "name_character"),
        *((f"Acme {mark}", "name_character") for mark in "=^`~|\\{}[]§¢₩😀\ufffd"),
    ],
)
def test_a_company_name_is_refused_with_its_reason(raw: str, code: str) -> None:
    assert code_of_name(raw) == code


def test_the_refused_character_is_named() -> None:
    with pytest.raises(TextError, match="“<”"):
        clean_company_name("A<B")
    with pytest.raises(TextError, match=re.escape("(U+200B ZERO WIDTH SPACE)")):
        clean_company_name("A\u200bB")


def test_every_space_separator_of_unicode_is_white_space() -> None:
    for code_point in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code_point)) == "Zs":
            assert clean_company_name(f"{chr(code_point)}a{chr(code_point)}b") == "a b"


@any_example
@given(ANY_TEXT | NEAR_NAME)
@example("e\u0301" * 60)
def test_any_string_is_a_clean_name_or_a_text_error(raw: str) -> None:
    try:
        name = clean_company_name(raw)
    except TextError as error:
        assert_helpful(error)
        return
    assert clean_company_name(name) == name
    assert 1 <= len(name) <= 100
    assert unicodedata.is_normalized("NFC", name)
    assert all(unicodedata.category(character)[0] in "LMNPSZ" for character in name)
    assert not {"  ", "<", ">"} & {name[i : i + n] for i in range(len(name)) for n in (1, 2)}
    assert name == name.strip()


# --- e-mail --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "clothes"),
    [
        ("ann@example.com", ["Ann@Example.COM", " \tann@example.com\u00a0", "ann@example。com"]),
        ("ann@example.com", ["ann@ｅｘａｍｐｌｅ．com", "ａｎｎ＠example.com", "ＡＮＮ＠ｅｘａｍｐｌｅ．ｃｏｍ"]),
        ("k@example.com", ["\u212a@example.com", "K@EXAMPLE.com", "k@example.com"]),
        ("a@kelvin.com", ["a@\u212aelvin.com"]),
        (
            "a@müller.de",
            ["a@MÜLLER.de", "a@mu\u0308ller.de", "a@xn--mller-kva.de", "A@XN--MLLER-KVA.DE"],
        ),
        ("a@straße.de", ["a@xn--strae-oqa.de", "A@STRAßE.de"]),
        ("a@strasse.de", ["a@STRASSE.de"]),
        ("a@пример.рф", ["a@ПРИМЕР.РФ", "a@xn--e1afmkfd.xn--p1ai"]),
        ("a.b+c_d-e!#$%&'*/?=^`{|}~@a.test", ["A.b+c_d-e!#$%&'*/?=^`{|}~@a.test"]),
        ("a@my.test", ["a@my.test"]),
        # Search does not tell these two apart. They are two domains.
        ("a@ırmak.test", ["a@xn--rmak-kza.test"]),
        ("a@irmak.test", ["a@IRMAK.test"]),
    ],
)
def test_an_address_has_one_key_in_all_its_clothes(key: str, clothes: list[str]) -> None:
    assert {clean_email(raw) for raw in clothes} == {key}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("", "email_missing"),
        (" \t\u3000", "email_missing"),
        ("x" * 10_000_000, "email_too_long"),
        ("x" * 65 + "@example.com", "email_too_long"),
        ("a@" + "\u0430\u0301\u0316" * 1_000_000, "email_too_long"),
        *((f"ann@example.com{line_break}", "email_line_break") for line_break in LINE_BREAKS),
        ("ann@example.com\r\nBcc: eve@example.com", "email_line_break"),
        ("ann@example.com\n\teve@example.com", "email_line_break"),
        *((f"ann@exam{c}ple.com", "email_invisible") for c in UNSEEN + UNSEEN_BIDI),
        ("ann@example.com,eve@example.com", "email_several"),
        ("ann@example.com;eve@example.com", "email_several"),
        ("ann@example.com eve@example.com", "email_several"),
        ("ann@eve@example.com", "email_double_at"),
        ("ann@example.com,", "email_trailing_mark"),
        ("Ann <ann@example.com>", "email_angle_bracket"),
        ("<ann@example.com>", "email_angle_bracket"),
        ("Ann ann@example.com", "email_space"),
        ("ann@example\tcom", "email_space"),
        ("ann@example.com (work)", "email_space"),
        ("example.com", "email_no_at"),
        ('"ann"@example.com', "email_quoted"),
        ('"a@b"@example.com', "email_quoted"),
        ("änn@example.com", "email_local_not_ascii"),
        ("用户@example.com", "email_local_not_ascii"),
        ("@example.com", "email_local"),
        (".ann@example.com", "email_local"),
        ("ann.@example.com", "email_local"),
        ("a..b@example.com", "email_local"),
        ("mailto:ann@example.com", "email_mailto"),
        ("a\\b@example.com", "email_local"),
        ("=?utf-8?q?=0a?=@example.com", "email_local"),
        ("ann@", "email_domain"),
        ("ann@localhost", "email_domain"),
        ("ann@test", "email_domain"),
        ("ann@example", "email_domain"),
        ("ann@example.com.", "email_trailing_mark"),
        ("ann@.example.com", "email_domain"),
        ("ann@exa_mple.com", "email_domain"),
        ("ann@-example.com", "email_domain"),
        ("ann@example..com", "email_domain"),
        ("ann@10.0.0.1", "email_domain"),
        ("ann@[10.0.0.1]", "email_domain"),
        ("ann@printer.local", "email_domain"),
        ("ann@xn--a.com", "email_domain"),
        ("ann@" + "x" * 64 + ".com", "email_domain"),
    ],
)
def test_an_address_is_refused_with_its_reason(raw: str, code: str) -> None:
    assert code_of_email(raw) == code


def test_an_address_has_at_most_254_octets_in_ascii() -> None:
    longest = "x" * 64 + "@" + "a." * 93 + "net"
    assert len(longest) == 254
    assert clean_email(longest) == longest
    assert code_of_email("x" * 64 + "@" + "a." * 94 + "de") == "email_too_long"
    # 185 characters, but every ü label has 13 of its own in punycode
    assert code_of_email("a@" + "ü." * 60 + "de") == "email_too_long"


@any_example
@given(ANY_TEXT | NEAR_EMAIL)
@example("a@xn--nxasmm1c.com")
@example("a@xn--ngbrx4e.xn--mgba3a4f16a")
def test_any_string_is_a_clean_address_or_a_text_error(raw: str) -> None:
    try:
        email = clean_email(raw)
    except TextError as error:
        assert_helpful(error)
        return
    assert clean_email(email) == email
    assert clean_email(smtp_address(email)) == email
    assert email.count("@") == 1
    assert not set(email) & set(' \t\r\n,;<>"\0')
    assert len(email.partition("@")[0]) <= 64
    assert "." in email.partition("@")[2]
    ascii_form = smtp_address(email)
    assert ascii_form.isascii()
    assert len(ascii_form) <= 254


def test_the_envelope_has_the_domain_in_punycode() -> None:
    assert smtp_address("a@müller.de") == "a@xn--mller-kva.de"
    assert smtp_address("a@example.com") == "a@example.com"
    with pytest.raises(TextError):
        smtp_address("müller")


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("ann@example.com", "ann@example.com"),
        ("ann@аррӏе.com", "ann@аррӏе.com (xn--80ak6aa92e.com)"),  # all of it Cyrillic
        ("ann@gooɡle.com", "ann@gooɡle.com (xn--goole-tmc.com)"),  # all of it Latin
        ("ann@müller.de", "ann@müller.de (xn--mller-kva.de)"),
    ],
)
def test_an_address_whose_domain_could_look_like_another_is_shown_with_its_punycode(email: str, shown: str) -> None:
    assert shown_address(clean_email(email)) == shown


# --- errors, folding -----------------------------------------------------------------------------


def assert_helpful(error: TextError) -> None:
    assert error.code in SENTENCES
    assert error.message == str(error) == f"{error.reason} {error.remedy}"
    assert error.message.endswith(".")
    error.message.encode()  # no lone surrogate gets into a page or a log
    assert not re.search(r"[\x00-\x1f]", error.message)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "Straße"),
        ("Müller", "MU\u0308LLER"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("\u212aelvin", "KELVIN"),
        ("\u1fb4", "\u0391\u0301\u0345"),
        ("İstanbul", "istanbul"),
        ("İSTANBUL", "ISTANBUL"),
        ("I\u0307stanbul", "ıstanbul"),
        ("ırmak", "irmak"),
        ("IRMAK", "İRMAK"),
    ],
)
def test_folding_is_blind_to_case_composition_and_the_dots_of_turkish(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@any_example
@given(ANY_TEXT | st.text("iIİı\u0307\u0323\u0301 "))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert unicodedata.is_normalized("NFC", fold(text))


@pytest.mark.parametrize("clean", [clean_company_name, clean_email])
def test_a_hostile_megabyte_is_refused_at_once(clean: object) -> None:
    assert callable(clean)
    began = time.process_time()
    for piece in ("a\u0316\u0301", " a", ".", "@", "\u3000"):
        with pytest.raises(TextError):
            clean(piece * 500_000)
    assert time.process_time() - began < 2
