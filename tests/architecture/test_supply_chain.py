"""What others wrote: locked by checksum, licensed so that we may ship it, and as they published it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from config import ROOT
from scripts.supply_chain import Component, faults, packages, vendored

LISTS = sorted(ROOT.glob("requirements*"))
# Files that are somebody else's by their name or place.
FOREIGN = ("**/vendor/*", "**/*.min.*", "**/*LICENSE*", "**/*.woff*", "**/*.ttf")
OURS = ("app", "examples", "tests")


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_no_list_of_packages_names_a_host(file: Path) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host| @ ", file.read_text())


@pytest.mark.parametrize("file", [one for one in LISTS if one.suffix == ".txt"], ids=lambda file: file.name)
def test_each_locked_package_has_a_checksum(file: Path) -> None:
    locked = list(packages(file))
    assert len(locked) > 20
    assert [one.name for one in locked if not one.sha256] == []
    # None was overlooked: each line that begins something begins a package.
    assert sum(re.match(r"[\w-]", line) is not None for line in file.read_text().splitlines()) == len(locked)


def test_what_we_ship_has_a_licence_that_allows_it_and_is_unchanged() -> None:
    components = [*packages(), *vendored()]
    assert list(faults(components)) == []
    assert sum(bool(one.licence) for one in components) > 50


def test_a_licence_that_is_not_allowed_and_a_changed_file_are_told() -> None:
    wrong = [
        Component("one", "1", "AGPL-3.0-only", ()),
        Component("two", "1", "MIT AND AGPL-3.0-only", ()),
        Component("three", "1", "MIT OR AGPL-3.0-only", ()),
        Component("four", "1", "MIT", ("0" * 64,), "README.md"),
    ]
    assert [one.split()[0] for one in faults(wrong)] == ["one", "two", "README.md"]


def test_the_table_has_every_vendored_file() -> None:
    there = {path for place in OURS for pattern in FOREIGN for path in (ROOT / place).glob(pattern) if path.is_file()}
    assert {str(path.relative_to(ROOT)) for path in there} == {one.path for one in vendored()}


def test_updates_are_looked_for_where_there_is_something() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    names = {"pip": "requirements.in", "docker": "Dockerfile", "docker-compose": "compose.yaml"}
    for one in updates:
        for folder in one.get("directories") or [one["directory"]]:
            assert (ROOT / folder.strip("/") / names[one["package-ecosystem"]]).exists()
