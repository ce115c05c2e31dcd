"""What the documents say of the code is so."""

from __future__ import annotations

import re

import pytest

from app.models import AppliedMigration
from config import ROOT

DOCS = ROOT / "docs"
TERMS = re.findall(r"^\| ([^|]+?) \| [^|]+ \| `([^`]+)` \|$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def test_the_glossary_has_terms() -> None:
    assert len(TERMS) > 40


@pytest.mark.parametrize("term, file", TERMS)
def test_each_term_of_the_glossary_stands_in_its_file(term: str, file: str) -> None:
    text = re.sub(r"[\s_]+", " ", (ROOT / file).read_text()).lower()
    words = term.lower()
    assert words in text or words.replace(" ", "") in text


def test_the_picture_of_the_packages_shows_those_there_are() -> None:
    (picture,) = re.findall(r"```mermaid\n(.*?)```", (DOCS / "architecture.md").read_text(), re.DOTALL)
    shown = set(re.findall(r"^ +(\w+)\[", picture, re.MULTILINE))
    packages = {folder.parent.name for folder in (ROOT / "app").glob("*/__init__.py")}
    assert shown == packages


def test_the_privacy_page_names_every_table() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (DOCS / "privacy.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(AppliedMigration.metadata.tables)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: object) -> None:
    text = page.read_text()  # type: ignore[attr-defined]
    named = set(
        re.findall(
            r"`((?:app|tests|bench|migrations|webserver|workbook_reader|deploy|examples|scripts|docs)/[\w./-]+)`", text
        )
    )
    assert not {name for name in named if not (ROOT / name).exists()}
