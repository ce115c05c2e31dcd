"""Client lists are made by hand or at random, and what their reader says of them is put in short."""

from __future__ import annotations

import codecs
import csv
import io
import re

from hypothesis import strategies as st

from app.imports.client_list import ClientList
from app.imports.csv_reader import read_csv
from app.imports.list_errors import ListError

HEADER = b"company_name,email\r\n"
ONE_ROW = HEADER + b"Acme,ann@acme.test\r\n"


def the_error(data: bytes) -> ListError:
    """The single error of a file."""
    (error,) = read_csv(data).errors
    return error


def lines_and_codes(file: ClientList) -> list[tuple[int | None, str, str]]:
    return [(error.line, error.column, error.code) for error in file.errors]


def many_rows(count: int) -> bytes:
    return b"".join(b"Acme %d,ann%d@acme.test\r\n" % (i, i) for i in range(count))


def cells_of(data: bytes, delimiter: str = ",") -> list[list[str]]:
    text = data.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


NAMES = st.sampled_from(
    [
        "Acme",
        "Müller",
        "A,B",
        "A;B",
        'A "B"',
        "A\nB",
        "A\r\nB",
        "A\u2028B",
        "<",
        "",
        " ",
        "\u00a0",
        "#N/A",
        "A;b@c.test",
    ]
)
GOOD_NAMES = st.sampled_from(
    ["Acme", "Müller & Co. KG", "A, B; C", '"The" Inc.', '"', "  株式会社 ", "'+49 Tours", "''-10 %", "A,' @ home"]
)
EMAILS = st.sampled_from(
    [
        "a@b.test",
        "A@B.test ",
        "c@d.test",
        "g@",
        "",
        "k@x.test",
        "\u212a@x.test",
        "a@b.test\n",
        "'a@b.test'",
        "'=x@b.test",
    ]
)
MANY_EMAILS = st.integers(0, 10**9).map("p{}@many.test".format)
# Raw cells: quotation marks and separators where they belong and where they do not.
RAW_CELLS = st.text(st.sampled_from('ab,;"\r\n \t\u2028é'), max_size=8)
LINE_BREAKS = st.sampled_from(["\n", "\r\n", "\r"])
HEADERS = st.sampled_from(
    [["company_name", "email"]] * 16
    + [["company_name", "email", "problem"]] * 4
    + [
        [" COMPANY_NAME", "Email\t"],
        ["Company Name", "Email address"],
        ["company_name", "email", "DomainError"],
        ["company_name", "email", "", ""],
        ["company_name", "email", "problem", " ", ""],
        ["\u200b\ufeffcompany_name", "email\u2060"],
        ["company_name", "", "email"],
        ["company_name", "email address"],
        ["email", "company_name"],
    ]
)
PROLOGUES = st.sampled_from(["", "", "", "\n", ",\n", "sep=;\r\n", "sep=,\n", "Sep=; \r"])
MARKS = st.sampled_from([b"", b"", codecs.BOM_UTF8, codecs.BOM_UTF8 * 2])


def quoted(cell: str, separator: str) -> str:
    if re.search(rf'[{separator}"\r\n]', cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell


@st.composite
def client_lists(draw: st.DrawFn) -> bytes:
    """Files near to what spreadsheets write: half of them well made, half with broken lines."""
    prologue = draw(PROLOGUES)
    separator = ";" if "=;" in prologue else draw(st.sampled_from(",,;"))
    well_made = draw(st.booleans())
    lines = [draw(HEADERS)]
    for number in range(draw(st.integers(0, 12))):
        if well_made:
            cells = [draw(GOOD_NAMES), f"ann{number}@many.test", "", "x"]
        else:
            cells = [draw(NAMES), draw(EMAILS | MANY_EMAILS), draw(st.sampled_from(["", " ", "x"])), ""]
        odd = not well_made and draw(st.integers(0, 4)) == 0
        lines.append(cells[: draw(st.sampled_from([1, 3, 4])) if odd else 2])
    text = ""
    for cells in lines:
        text += separator.join(quoted(cell, separator) for cell in cells) + draw(LINE_BREAKS)
        if draw(st.integers(0, 9)) == 0:
            rubbish = st.sampled_from(["", separator, " "]) if well_made else RAW_CELLS
            text += draw(rubbish) + draw(LINE_BREAKS)
    return draw(MARKS) + (prologue + text).encode()


ODD_BYTES = st.sampled_from([b"\0", b"\xfc", b"\xff\xfe", b'"', b"\r", b",", codecs.BOM_UTF8, "\u2028".encode()])


@st.composite
def spoilt_client_lists(draw: st.DrawFn) -> bytes:
    data = draw(client_lists())
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(ODD_BYTES) + data[at + draw(st.integers(0, 2)) :]
