"""A second reader of client lists, for the tests to hold against the first.

Written from the rules alone: no csv module, nothing of the first reader, one character at a time.
What makes a name or an address valid is tested elsewhere, so it is taken from `app.core.text`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from app.core.text import clean_company_name, clean_email
from app.core.text_errors import TextError

ROW_LIMIT = 1000
OWN_EXPORT = [
    "company_name", "email", "status", "email_last_sent", "health", "server_answer", "link_expires", "registered",
    "joined",
]  # fmt: skip
SPACES = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


@dataclass(frozen=True)
class Outcome:
    """Rows as (line, name, address); the lines that are bad; whether the file could be read."""

    rows: list[tuple[int, str, str]]
    bad_lines: set[int]
    readable: bool


class UnreadableError(Exception):
    """The quotation marks do not fit from this line on."""

    def __init__(self, line: int) -> None:
        self.line = line


REFUSED = Outcome(rows=[], bad_lines=set(), readable=False)


def second_read(data: bytes) -> Outcome:
    """What ought to become of a file."""
    if len(data) > 3 * 1024 * 1024 or b"\0" in data:
        return REFUSED
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return REFUSED
    while text and is_unseen(text[0]):
        text = text[1:]
    if text.lstrip().startswith(("<!DOCTYPE", "<html", "<table", "{\\rtf", "%PDF-", '[{"', '{"')):
        return REFUSED
    line, separators = 1, [",", ";"]
    first, rest = cut_first_line(text)
    if first.strip(SPACES).lower() in ("sep=,", "sep=;"):
        line, separators, text = 2, [first.strip(SPACES)[-1]], rest
    for separator in separators:
        records = Records(text, separator, line)
        header = first_record(records)
        ignored_from = columns_of(header) if header is not None else 0
        if ignored_from:
            return judge(records, ignored_from)
    return REFUSED


def cut_first_line(text: str) -> tuple[str, str]:
    for position, character in enumerate(text):
        if character in "\r\n":
            end = position + (2 if text[position : position + 2] == "\r\n" else 1)
            return text[:position], text[end:]
    return text, ""


def first_record(records: Records) -> list[str] | None:
    try:
        for _, cells in records:
            if not is_blank(cells):
                return cells
    except UnreadableError:
        pass
    return None


def is_blank(cells: list[str]) -> bool:
    return all(cell.strip(SPACES) == "" for cell in cells)


def is_unseen(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f" or character == "\u034f"


def columns_of(header: list[str]) -> int:
    """How many columns a header names, or 0 if it is none: two, or those of our export, perhaps with problems."""
    names = []
    for cell in header:
        while cell and (cell[0].isspace() or is_unseen(cell[0])):
            cell = cell[1:]
        while cell and (cell[-1].isspace() or is_unseen(cell[-1])):
            cell = cell[:-1]
        names.append(cell.lower())
    while names and names[-1] == "":
        names.pop()
    plain = names[:-1] if names and names[-1] == "problem" else names
    known = (["company_name", "email"], ["company name", "email address"], OWN_EXPORT)
    return len(names) if plain in known else 0


def without_guards(cell: str) -> str:
    """The cell without the apostrophe of each guarded formula, read from its end."""
    kept: list[str] = []
    for position in reversed(range(len(cell))):
        follows = cell[position + 1 :].lstrip("'")
        mark = next((character for character in follows if not (character == "'" or character.isspace())), "")
        begins = follows[:1] in ("\t", "\r", "\n") or mark in tuple("=+-@＝＋－＠")
        starts = position == 0 or cell[position - 1] in ",;\t\r\n"
        if not (cell[position] == "'" and starts and begins and follows):
            kept.append(cell[position])
    return "".join(reversed(kept))


def judge(records: Records, ignored_from: int) -> Outcome:
    rows: list[tuple[int, str, str]] = []
    bad: set[int] = set()
    seen: set[str] = set()
    count = 0
    try:
        for line, cells in records:
            if is_blank(cells):
                continue
            count += 1
            if count > ROW_LIMIT:
                return REFUSED
            row = judge_row(cells, seen, ignored_from)
            if row is None:
                bad.add(line)
            else:
                rows.append((line, *row))
    except UnreadableError as fault:
        return Outcome([], bad | {fault.line}, readable=False)
    return Outcome(rows, bad, readable=True) if count else REFUSED


def judge_row(cells: list[str], seen: set[str], ignored_from: int) -> tuple[str, str] | None:
    if len(cells) < 2 or not is_blank(cells[ignored_from:]):
        return None
    try:
        email = clean_email(without_guards(cells[1]))
    except TextError:
        return None
    if email in seen:
        return None
    seen.add(email)
    try:
        return clean_company_name(without_guards(cells[0])), email
    except TextError:
        return None


class Records:
    """The records of a text, taken one after the other; going on where one stopped."""

    def __init__(self, text: str, separator: str, line: int) -> None:
        self.text = text
        self.separator = separator
        self.line = line
        self.position = 0

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        while self.position < len(self.text):
            begins_on = self.line
            try:
                cells = self.record()
            except SyntaxError:
                raise UnreadableError(begins_on) from None
            yield begins_on, cells

    def record(self) -> list[str]:
        cells = []
        while True:
            cells.append(self.quoted() if self.peek() == '"' else self.plain())
            if self.peek() == self.separator:
                self.position += 1
                continue
            self.line_break()
            return cells

    def peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def plain(self) -> str:
        begin = self.position
        while self.peek() not in ("", "\r", "\n", self.separator):
            self.position += 1
        return self.text[begin : self.position]

    def quoted(self) -> str:
        cell = ""
        self.position += 1
        while True:
            character = self.peek()
            if character == "":
                raise SyntaxError("never closed")
            if character in "\r\n":
                cell += self.line_break()
                continue
            self.position += 1
            if character != '"':
                cell += character
            elif self.peek() == '"':
                cell += '"'
                self.position += 1
            elif self.peek() in ("", "\r", "\n", self.separator):
                return cell
            else:
                raise SyntaxError("text behind a closing quotation mark")

    def line_break(self) -> str:
        """Step over CRLF, CR, LF, or the end of the text."""
        for line_break in ("\r\n", "\r", "\n"):
            if self.text.startswith(line_break, self.position):
                self.position += len(line_break)
                self.line += 1
                return line_break
        return ""
