"""Workbooks are made: proper ones by the libraries that write them, odd ones by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

import xlsxwriter
import xlwt
from hypothesis import strategies as st
from xlwt.CompoundDoc import XlsDoc

from app.imports.client_list import ClientList
from app.imports.workbook import list_of
from tests.unit.imports.client_lists import EMAILS, GOOD_NAMES, HEADERS, MANY_EMAILS, NAMES
from workbook_reader.reading import read

HEADER = ["company_name", "email"]
ACME = ["Acme", "ann@acme.test"]
Rows = Iterable[Sequence[str]]
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def read_here(data: bytes) -> ClientList:
    """What `read_file` says of a workbook, without a process for it."""
    return list_of(read(data))


def xlsx(rows: Rows, *, at: tuple[int, int] = (0, 0), hidden: Iterable[int] = (), others: Sequence[str] = ()) -> bytes:
    """An .xlsx with these rows as text from this cell on, hidden lines, and further sheets."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Clients")
        for number, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                sheet.write_string(at[0] + number, at[1] + column, cell)
        for line in hidden:
            sheet.set_row(line - 1, None, None, {"hidden": True})
        for name in others:
            book.add_worksheet(name).write(0, 0, "x")
    return out.getvalue()


def xls(rows: Rows, *, hidden: Iterable[int] = ()) -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Clients")
    for number, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            sheet.write(number, column, cell)
    for line in hidden:
        sheet.row(line - 1).hidden = True
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def xls_with_a_password() -> bytes:
    """An .xls whose stream says, after its beginning, that the rest is encrypted."""
    book = xlwt.Workbook()
    book.add_sheet("Clients").write(0, 0, "x")
    stream = book.get_biff_data()
    begin = 4 + int.from_bytes(stream[2:4], "little")
    file_pass = b"\x2f\x00\x36\x00" + b"\x01\x00\x01\x00\x01\x00" + bytes(48)
    out = io.BytesIO()
    XlsDoc().save(out, stream[:begin] + file_pass + stream[begin:])
    return out.getvalue()


def other_ole(stream: str) -> bytes:
    """An OLE file, as an .xls is, whose stream has another name."""
    name = "Workbook".encode("utf-16-le")
    return xls([HEADER]).replace(name + bytes(64 - len(name)), stream.encode("utf-16-le").ljust(64, b"\0"))


_NAMESPACES = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in {"office": "office", "table": "table", "text": "text", "manifest": "manifest"}.items()
)
_NAMESPACES += ' xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'


def archive(files: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return out.getvalue()


def ods(rows: Rows, *, hidden: Collection[int] = ()) -> bytes:
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    filtered = ' table:visibility="filter"'
    return raw_ods(
        "".join(
            raw_row("".join(cell.format(escape(text)) for text in cells), filtered if line in hidden else "")
            for line, cells in enumerate(rows, 1)
        )
    )


def raw_row(cells: str, attributes: str = "") -> str:
    return f"<table:table-row{attributes}>{cells}</table:table-row>"


def raw_ods(rows: str, manifest: str = "", kind: str = "spreadsheet") -> bytes:
    """An OpenDocument file whose only sheet has these rows, in XML."""
    table = f'<table:table table:name="Clients">{rows}</table:table>'
    body = f"<office:body><office:spreadsheet>{table}</office:spreadsheet></office:body>"
    return archive(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "META-INF/manifest.xml": f"<manifest:manifest {_NAMESPACES}>{manifest}</manifest:manifest>",
            "content.xml": f"<office:document-content {_NAMESPACES}>{body}</office:document-content>",
        }
    )


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
RAW_HEADER = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>company_name</t></is></c>'
    '<c r="B1" t="inlineStr"><is><t>email</t></is></c></row>'
)


def raw_xlsx(
    rows: str, *, sheets: str | None = None, strings: str = "", doctype: str = "", kind: str = "worksheet"
) -> bytes:
    """An .xlsx whose only sheet has these rows, in XML."""
    sheet = '<sheet name="Clients" sheetId="1" r:id="rId1"/>' if sheets is None else sheets
    return archive(
        {
            "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"></Types>',
            "_rels/.rels": _relations("officeDocument", "xl/workbook.xml"),
            "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{sheet}</sheets></workbook>',
            "xl/_rels/workbook.xml.rels": _relations(kind, f"{kind}s/sheet1.xml", "sharedStrings"),
            f"xl/{kind}s/sheet1.xml": (
                f'{doctype}<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData></worksheet>'
            ),
            "xl/sharedStrings.xml": f'<sst xmlns="{_MAIN}">{strings}</sst>',
        }
    )


def _relations(kind: str, target: str, second: str = "") -> str:
    more = f'<Relationship Id="rId2" Type="{_OFFICE}/{second}" Target="{second}.xml"/>' if second else ""
    return (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/{kind}" Target="{target}"/>{more}</Relationships>'
    )


# At random


def without_line_breaks(cells: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """In CSV these count as lines."""
    return cells.map(lambda cell: cell.replace("\r", "").replace("\n", "\x0b"))


CELLS = without_line_breaks(
    NAMES | GOOD_NAMES | st.sampled_from(["=1+1", "_x0041_", "\t", "0012", "1E5", "#REF!", "\x01", "\n"])
)
ADDRESSES = without_line_breaks(EMAILS | MANY_EMAILS)


@st.composite
def sheets(draw: st.DrawFn) -> list[list[str]]:
    """Rows of a sheet: a header, and clients that are good or not, with blank lines anywhere."""
    rows: list[list[str]] = [[]] * draw(st.integers(0, 2)) + [draw(HEADERS)]
    for number in range(draw(st.integers(0, 12))):
        if draw(st.booleans()):
            rows.append([draw(without_line_breaks(GOOD_NAMES)), f"ann{number}@many.test"])
        else:
            cells = [draw(CELLS), draw(ADDRESSES), draw(st.sampled_from(["", " ", "x"])), ""]
            rows.append(cells[: draw(st.sampled_from([0, 1, 2, 2, 2, 3, 4]))])
    return rows


def as_csv(rows: Rows) -> bytes:
    out = io.StringIO(newline="")
    # A sheet has two columns in every row that has anything.
    csv.writer(out).writerows([*cells, *[""] * (2 - len(cells))] if cells else [] for cells in rows)
    return out.getvalue().encode()
