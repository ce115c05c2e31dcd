"""What people see is there in every language: each text of what babel.cfg lists, in each catalog."""

from __future__ import annotations

import os
import re
import unicodedata
from functools import cache

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

from app.core.i18n import CATALOGS, catalog_path
from app.models import Language
from config import ROOT

TRANSLATED = [language.value for language in Language if language is not Language.ENGLISH]
KEYWORDS = DEFAULT_KEYWORDS | {"lazy": None, "N_": None, "stored": None}
# No sentences: patterns for dates, a name, quotation marks, and what begins with another text of ours.
NO_SENTENCES = {
    "d MMMM yyyy",
    "d MMMM yyyy, HH:mm 'UTC'",
    "dd MMM",
    "dd MMM yyyy",
    "dd MMM yyyy, HH:mm 'UTC'",
    "B-Portal",
    "“%(text)s”",
    "%(field)s: %(value)s",
    "%(what)s Mail server's reply: %(words)s",
}

every_language = pytest.mark.parametrize("language", TRANSLATED)


def wanted() -> set[str | tuple[str, ...]]:
    """The texts in the files that babel.cfg lists; a plural's forms are a tuple."""
    return _wanted(os.path.getmtime(ROOT / "babel.cfg"))


@cache
def _wanted(_changed: float) -> set[str | tuple[str, ...]]:
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    found = extract_from_dir(ROOT / "app", _below_app(methods), {k[4:]: v for k, v in options.items()}, KEYWORDS)
    return {message for _file, _line, message, _comments, _context in found}


def _below_app(methods: list[tuple[str, str]]) -> list[tuple[str, str]]:
    # Everything listed lies there, and so nobody has to walk through a virtual environment.
    assert all(pattern.startswith("app/") for pattern, _method in methods)
    return [(pattern.removeprefix("app/"), method) for pattern, method in methods]


def read(language: str) -> Catalog:
    with catalog_path(language).open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def messages(language: str) -> list[Message]:
    return [message for message in read(language) if message.id]


def forms(text: str | tuple[str, ...] | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)\w", text))


def test_babel_cfg_names_files_that_are_there() -> None:
    with (ROOT / "babel.cfg").open() as file:
        methods, _options = parse_mapping_cfg(file)
    for pattern, _method in methods:
        assert list(ROOT.glob(re.sub(r"\*\*\.(\w+)$", r"**/*.\1", pattern))), pattern
    assert len(wanted()) > 150


def test_every_language_but_english_has_a_catalog_and_none_is_compiled() -> None:
    assert sorted(path.name for path in CATALOGS.iterdir()) == sorted(TRANSLATED)
    assert not list(CATALOGS.rglob("*.mo"))


@every_language
def test_a_catalog_holds_the_texts_there_are_and_no_others(language: str) -> None:
    held = {message.id if isinstance(message.id, str) else tuple(message.id) for message in messages(language)}
    # gettext has one entry for a text and for a plural that begins with it.
    singular = {message[0] for message in held if isinstance(message, tuple)}
    assert wanted() - held - singular == set(), "make translations, then translate"
    assert held - wanted() == set(), "make translations"


@every_language
def test_every_text_is_translated_and_none_is_a_guess(language: str) -> None:
    catalog = read(language)
    for message in messages(language):
        said = forms(message.string)
        assert len(said) == (1 if isinstance(message.id, str) else catalog.num_plurals), message.id
        assert all(said), f"not translated: {message.id}"
        assert not message.fuzzy, f"only a guess: {message.id}"
    assert not catalog.obsolete


@every_language
def test_a_translation_has_the_placeholders_of_its_text(language: str) -> None:
    for message in messages(language):
        expected = placeholders(forms(message.id)[-1])
        for said in forms(message.string):
            # "two days" may be one word, without the number.
            may_lack = set() if isinstance(message.id, str) else {"%(num)s"}
            assert placeholders(said) | may_lack == expected | may_lack, message.id
            assert "%" not in re.sub(r"%\(\w+\)s", "", said), message.id


@every_language
def test_a_translation_begins_and_ends_as_its_text_does(language: str) -> None:
    for message in messages(language):
        for said in forms(message.string):
            assert said == said.strip()
            assert "<" not in said.replace("< ", "").replace("<.", ""), "templates take a translation for HTML"
            assert ("\n" in said) == ("\n" in forms(message.id)[0])


def test_arabic_begins_with_arabic_so_that_its_direction_is_guessed_right() -> None:
    """Mail programs that show plain text look at a line's first letter, and so do lists of subjects."""
    for message in messages("ar"):
        if message.id in NO_SENTENCES:
            continue
        for said in forms(message.string):
            ways = map(unicodedata.bidirectional, re.sub(r"%\(\w+\)s", "A", said))
            assert next((way for way in ways if way in ("L", "R", "AL")), None) == "AL", message.id


@every_language
def test_a_catalog_names_no_person_and_no_machine(language: str) -> None:
    source = catalog_path(language).read_text()
    head = source.partition("\n#:")[0]
    assert "@" not in head
    assert not re.findall(r"^#: .*(?:^|\s)/", source, re.MULTILINE)
