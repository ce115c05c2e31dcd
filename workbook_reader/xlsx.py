"""A look at the XML of an .xlsx file's sheet."""

from __future__ import annotations

import posixpath
import re
from typing import Final
from zipfile import ZipFile

from workbook_reader.archive import local, walk
from workbook_reader.look import SheetLook

_CELL: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_WORKBOOK: Final = "xl/workbook.xml"
_TRUE: Final = frozenset({"1", "true", "on"})


def look_at(archive: ZipFile, number: int) -> SheetLook:
    """Look at the sheet with this number, from 0. Raises `Unreadable`."""
    look = _Look()
    part = _part_of_sheet(archive, number)
    if part:
        walk(archive, part, look.start, look.end, look.text)
    look.check_area()
    return look


def _part_of_sheet(archive: ZipFile, number: int) -> str:
    """The name of the file in the archive that holds a sheet, or "" if there is none."""
    names = {name.lower(): name for name in archive.namelist()}
    relations: list[str] = []
    targets: dict[str, str] = {}

    def of_workbook(name: str, attributes: dict[str, str]) -> None:
        if local(name) == "sheet":
            relations.append(next((value for key, value in attributes.items() if key.endswith(":id")), ""))

    def of_relations(name: str, attributes: dict[str, str]) -> None:
        if local(name) == "Relationship":
            targets[attributes.get("Id", "")] = attributes.get("Target", "")

    walk(archive, names[_WORKBOOK], of_workbook)
    walk(archive, names["xl/_rels/workbook.xml.rels"], of_relations)
    target = targets.get(relations[number], "") if number < len(relations) else ""
    return names.get(posixpath.normpath(posixpath.join("/xl", target))[1:].lower(), "")


class _Look(SheetLook):
    """Follows the elements `row`, `c` (a cell), `f` (its formula), `v` and `is` (its value)."""

    def __init__(self) -> None:
        super().__init__()
        self._line = 0
        self._column = -1
        self._type = ""
        self._reads = ""  # "f" or "v" while in that element
        self._formula: list[str] | None = None
        self._value: list[str] = []
        self._has_text = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = local(name)
        if name == "c":
            self._column += 1
            place = _CELL.fullmatch(attributes.get("r", ""))
            if place:
                self._line, self._column = int(place[2]), _column(place[1])
            self._type = attributes.get("t", "")
            self._formula, self._value, self._has_text = None, [], False
        elif name == "row":
            row = attributes.get("r", "")
            self._line = int(row) if row.isdecimal() else self._line + 1
            self._column = -1
            if attributes.get("hidden") in _TRUE:
                self.hide(self._line)
        elif name == "f":
            self._formula, self._reads = [], name
        elif name == "v":
            self._reads = name
        elif name == "is":
            self._has_text = True

    def end(self, name: str) -> None:
        name = local(name)
        if name == "c":
            self._end_cell()
        elif name == self._reads:
            self._reads = ""

    def text(self, text: str) -> None:
        if self._reads == "v":
            self._value.append(text)
        elif self._reads == "f" and self._formula is not None:
            self._formula.append(text)

    def _end_cell(self) -> None:
        value = "".join(self._value)
        if self._type == "e" and value:
            self.lose(self._line, self._column, value)
        elif self._formula is not None and not value and self._type != "str":
            self.lose(self._line, self._column, f"={''.join(self._formula)}", is_unsaved=True)
        elif not value and not self._has_text:
            return
        self.occupy(self._line, self._column)


def _column(letters: str) -> int:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1
