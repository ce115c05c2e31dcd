"""A workbook is uploaded, read by a process of its own, and the page says what came of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.errors import Conflict
from app.imports.workbook_process import READING, ask_reader
from tests.conftest import HARBOUR
from tests.integration.imports.uploading import IMPORT, addresses, errors_in, refusal_in, upload
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.unit.imports.workbooks import ACME, HEADER, archive, ods, raw_xlsx, read_here, xls, xls_with_a_password, xlsx

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
BOLT = ["Bolt", "bob@acme.test"]


def test_workbooks_are_imported_whatever_their_name(admin: Browser, app_driver: AppDriver) -> None:
    for number, (make, name) in enumerate([(xlsx, "clients.csv"), (xls, "x"), (ods, "clients.xlsx")]):
        data = make([HEADER, [f"Acme {number}", f"ann{number}@acme.test"]])
        assert upload(admin, data, name=name).status_code == 303
    assert upload(admin, b"company_name,email\nBolt,bob@acme.test\n", name="clients.xlsx").status_code == 303
    assert addresses(app_driver) == ["ann0@acme.test", "ann1@acme.test", "ann2@acme.test", "bob@acme.test"]


def test_hidden_rows_and_other_sheets_are_told_after_a_success_too(admin: Browser) -> None:
    done = upload(admin, xlsx([HEADER, ACME], hidden=[2], others=["Old"]), htmx=True)
    assert [note["data-note"] for note in parse(done).select("[data-note]")] == ["hidden_rows", "other_sheets"]
    assert "line 2" in words(parse(done).select_one("[data-note=hidden_rows]"))
    assert upload(admin, xlsx([HEADER, BOLT], hidden=[2])).status_code == 303
    assert "1 row is hidden" in words(parse(admin.get(ic(HARBOUR))).select_one("#page-status"))


def test_a_bad_workbook_comes_back_as_a_workbook_that_goes_through_once_it_is_mended(
    admin: Browser, app_driver: AppDriver
) -> None:
    rows = [[], HEADER, ["Acme", "ann@acme"], [], BOLT]
    for make in (xlsx, xls, ods):
        data = make(rows)
        refused = upload(admin, data)
        assert list(errors_in(refused)) == [3]
        actions = [str(button["formaction"]) for button in refusal_in(refused).select("button[formaction]")]
        assert len(actions) == 2
        copy = upload(admin, data, to=actions[0])
        assert copy.content_type == XLSX
        assert copy.headers["Content-Disposition"] == 'attachment; filename="import-with-problems.xlsx"'
        assert [error.line for error in read_here(copy.data).errors] == [3]
        assert upload(admin, data, to=actions[1]).content_type == "text/csv; charset=utf-8"
    assert addresses(app_driver) == []
    mended = xlsx([[], [*HEADER, "problem"], ["Acme", "ann@acme.test", "email: The part …"], [], BOLT])
    assert upload(admin, mended).status_code == 303
    assert addresses(app_driver) == ["ann@acme.test", "bob@acme.test"]


def test_the_template_is_a_workbook_of_text_that_is_read_as_such(admin: Browser, staff: Browser) -> None:
    template = staff.get(f"{ic(HARBOUR)}/template.xlsx")
    assert template.content_type == XLSX
    assert template.headers["Content-Disposition"] == 'attachment; filename="imported-clients-template.xlsx"'
    assert [error.code for error in read_here(template.data).errors] == ["file_no_rows"]
    dialog = parse(admin.get(IMPORT))
    assert dialog.select_one(f"a[download][href='{ic(HARBOUR)}/template.xlsx']")
    assert ".ods" in str(dialog.select_one("input[type=file]"))


BAD = {
    # The library that reads it is aborted at the limit of memory.
    "file_workbook_too_large": lambda: raw_xlsx("", strings="<si><t>a</t></si>" * 1_900_000),
    "file_workbook_encrypted": xls_with_a_password,
    "file_workbook_broken": lambda: archive({"clients.csv": "company_name,email"}),
}


@pytest.mark.parametrize("code", BAD)
def test_what_cannot_be_read_is_told_in_one_sentence(admin: Browser, app_driver: AppDriver, code: str) -> None:
    data = BAD[code]()
    before = app_driver.dump()
    for htmx in (True, False):
        refusal = refusal_in(upload(admin, data, htmx=htmx))
        assert [error["data-error-code"] for error in refusal.select("[data-error-code]")] == [code]
        assert [words(button) for button in refusal.select("button")] == ["Download error report"]
    refusal_in(upload(admin, data, to=f"{IMPORT}/annotated.csv"))
    assert app_driver.dump() == before


def test_a_workbook_of_more_than_three_mebibytes_is_refused_before_it_is_read(admin: Browser) -> None:
    refusal_in(upload(admin, xlsx([HEADER, ACME]) + bytes(3 << 20)), status=413)


def test_a_reader_that_takes_too_long_is_ended_and_the_next_one_works() -> None:
    assert ask_reader(xlsx([HEADER]), time_out=0.001) == {"refused": "too_large", "why": "limit", "cell": ""}
    assert "rows" in ask_reader(xlsx([HEADER]))


def test_whoever_waits_too_long_for_others_is_asked_to_try_again() -> None:
    with READING, pytest.raises(Conflict, match="try again in a minute"):
        ask_reader(xlsx([HEADER]), patience=0.001)


def test_where_the_reader_does_not_run_csv_is_advised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for executable in (str(tmp_path / "missing"), shutil.which("false") or "/bin/false"):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(Conflict, match="as CSV"):
            ask_reader(xlsx([HEADER]))


def test_the_application_never_loads_the_libraries_that_read_workbooks() -> None:
    """They see the files of strangers, so they stay out of the process that has the keys; and CSV files are quick."""
    script = "import sys, app.imports.routes; print({'python_calamine', 'xlrd'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout == "set()\n"
