"""A look at the XML of an .ods file's first sheet."""

from __future__ import annotations

from zipfile import ZipFile

from workbook_reader.answers import ENCRYPTED, Unreadable
from workbook_reader.archive import Stop, local, walk
from workbook_reader.limits import MAX_ROWS
from workbook_reader.look import SheetLook

_MANIFEST = "META-INF/manifest.xml"


def look_at(archive: ZipFile) -> SheetLook:
    """Look at the first sheet. Raises `Unreadable`, also if the file has a password."""
    if _MANIFEST in archive.namelist() and b"encryption-data" in archive.read(_MANIFEST):
        raise Unreadable(ENCRYPTED, "")
    look = _Look()
    walk(archive, "content.xml", look.start, look.end, look.text)
    look.check_area()
    return look


class _Look(SheetLook):
    """Follows the elements `table-row`, `table-cell` and the paragraphs in it. Rows and cells may be repeated."""

    def __init__(self) -> None:
        super().__init__()
        self._line = 1
        self._column = 0
        self._lines = self._columns = 1  # how often the present row and cell are repeated
        self._cell: dict[str, str] | None = None
        self._texts: list[str] = []
        self._comments = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = local(name)
        if name in ("table-cell", "covered-table-cell"):
            self._cell = {local(key): value for key, value in attributes.items() if not key.startswith("calcext:")}
            if attributes.get("calcext:value-type") == "error":
                self._cell["value-type"] = "error"
            self._columns = _number(self._cell.get("number-columns-repeated"))
            self._texts = []
        elif name == "table-row":
            own = {local(key): value for key, value in attributes.items()}
            self._lines = _number(own.get("number-rows-repeated"))
            self._column = 0
            if own.get("visibility") in ("collapse", "filter"):
                self.hide(self._line, self._lines)
        elif name == "annotation":
            self._comments += 1

    def end(self, name: str) -> None:
        name = local(name)
        if name in ("table-cell", "covered-table-cell"):
            self._end_cell()
            self._column += self._columns
            self._cell = None
        elif name == "table-row":
            self._line += self._lines
        elif name == "annotation":
            self._comments -= 1
        elif name == "table":
            raise Stop

    def text(self, text: str) -> None:
        if self._cell is not None and not self._comments:
            self._texts.append(text)

    def _end_cell(self) -> None:
        cell = self._cell or {}
        text = "".join(self._texts)
        kind = cell.get("value-type", "")
        lost = ""
        if kind == "error":
            lost = text
        elif cell.get("formula") and not kind and not text:
            lost = f"={cell['formula'].partition('=')[2]}"
        if lost:
            for line in range(self._line, self._line + min(self._lines, MAX_ROWS)):
                for column in range(self._column, self._column + min(self._columns, 2)):
                    self.lose(line, column, lost, is_unsaved=kind != "error")
        elif not kind and not text:
            return
        self.occupy(self._line, self._column, self._lines, self._columns)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else 1
