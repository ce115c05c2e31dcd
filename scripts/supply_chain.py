"""What we ship that others wrote: Python packages (requirements.txt) and vendored files (docs/third-party.md).

`python -m scripts.supply_chain FILE` prints each with its licence, and writes FILE, a bill of materials (CycloneDX). It
ends with exit code 1 if a licence is not among the allowed ones or a vendored file was changed.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ALLOWED = frozenset(
    [
        "0BSD",
        "Apache-2.0",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "LGPL-3.0-only",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
        "Unlicense",
        "ZPL-2.1",
    ]
)
"""SPDX identifiers, and "BSD" where a package does not say which one. All allow to use the package, unchanged, in a
program with any licence."""

# What packages call their licence, for those that do not do so in SPDX.
_SPDX = {
    "Apache Software License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "The Unlicense (Unlicense)": "Unlicense",
    "ZPL 2.1": "ZPL-2.1",
    "Zope Public License": "ZPL-2.1",
}
# Packages whose metadata names none.
_READ_BY_HAND = {"imapclient": "BSD-3-Clause"}

_LOCKED = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?P<more>(?:.*\\\n)*.*)", re.MULTILINE)
_VENDORED = re.compile(
    r"^\| `(?P<path>[^`]+)` \| (?P<name>[^|]+?) \| (?P<version>[^|]+?) \| (?P<licence>[^|]+?) \| `(?P<sha256>\w+)` \|$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Component:
    name: str
    version: str
    licence: str
    """An SPDX expression; empty if it is not known, as of a package that is for other systems than this one."""
    sha256: tuple[str, ...]
    path: str | None = None
    """Of a vendored file."""


def packages(lock: Path = ROOT / "requirements.txt") -> Iterator[Component]:
    """The packages of a lock file, with the licences that the installed ones name."""
    for found in _LOCKED.finditer(lock.read_text()):
        hashes = tuple(re.findall(r"sha256:(\w+)", found["more"]))
        yield Component(found["name"], found["version"], _licence(found["name"]), hashes)


def vendored() -> Iterator[Component]:
    """The rows of the table in docs/third-party.md."""
    for found in _VENDORED.finditer((ROOT / "docs/third-party.md").read_text()):
        yield Component(found["name"], found["version"], found["licence"], (found["sha256"],), found["path"])


def faults(components: list[Component]) -> Iterator[str]:
    """What is wrong with them, a sentence each."""
    for one in components:
        if one.licence and not _is_allowed(one.licence):
            yield f"{one.name} {one.version} has the licence {one.licence!r}, which is not among the allowed ones."
        if one.path and hashlib.sha256((ROOT / one.path).read_bytes()).hexdigest() not in one.sha256:
            yield f"{one.path} is not the file that docs/third-party.md describes: its checksum is another."


def _licence(name: str) -> str:
    # Those of .venv, whichever Python runs this.
    places = [str(folder) for folder in ROOT.glob(".venv/lib/python*/site-packages")] or sys.path
    said = next((one.metadata for one in metadata.distributions(name=name, path=places)), None)
    if said is None:
        return ""
    if expression := said.get("License-Expression"):
        return expression
    if name in _READ_BY_HAND:
        return _READ_BY_HAND[name]
    classifiers = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or () if "OSI Approved ::" in one]
    text = said.get("License") or ""
    # Some put the whole text there.
    words = [text] if text and len(text) < 40 else classifiers
    return " OR ".join(_SPDX.get(one, one) for one in words) or "unknown"


def _is_allowed(expression: str) -> bool:
    """All of an AND, or one of an OR. Nobody nests them."""
    return any(all(part.strip() in ALLOWED for part in choice.split(" AND ")) for choice in expression.split(" OR "))


def write_bill_of_materials(components: list[Component], path: Path, version: str) -> None:
    """As CycloneDX 1.6. Needs cyclonedx-python-lib."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component as Entry
    from cyclonedx.model.component import ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    licences = LicenseFactory()
    bom = Bom()
    bom.metadata.component = Entry(name="imported-clients", version=version, type=ComponentType.APPLICATION)
    for one in components:
        bom.components.add(
            Entry(
                name=one.path or one.name,
                version=one.version,
                type=ComponentType.FILE if one.path else ComponentType.LIBRARY,
                purl=None if one.path else PackageURL("pypi", name=one.name, version=one.version),
                licenses=[licences.make_from_string(one.licence)] if one.licence else (),
                # Of a package, those of all its files, of which one is installed: none is that of the component.
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one.sha256[0])] if one.path else (),
            )
        )
    bom.register_dependency(bom.metadata.component, bom.components)
    JsonV1Dot6(bom).output_to_file(str(path), allow_overwrite=True, indent=2)


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    components = [*packages(), *(one for one in vendored() if (one.path or "").startswith("app/"))]
    for one in components:
        print(f"{one.path or one.name}\t{one.version}\t{one.licence or 'not for this system'}")
    found = list(faults(components))
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    write_bill_of_materials(components, Path(sys.argv[1]), project["version"])
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
