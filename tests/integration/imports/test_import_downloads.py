"""The template, the error report and the annotated file can be downloaded, and what is mended goes through."""

from __future__ import annotations

import csv
import io

import pytest

from tests.conftest import HARBOUR
from tests.integration.imports.uploading import IMPORT, a_file, addresses, errors_in, refusal_in, upload
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words

# The downloads, made by posting the file again


def download(browser: Browser, data: bytes, button: str) -> list[list[str]]:
    """Press a button of the rejection, which posts the same file elsewhere; the cells of what comes."""
    (action,) = [
        str(found["formaction"])
        for found in refusal_in(upload(browser, data)).select("button[formaction]")
        if button in words(found)
    ]
    answer = upload(browser, data, to=action)
    assert answer.status_code == 200
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return cells_of(answer.data)


def cells_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def test_the_report_names_every_error_and_no_cell_of_it_runs(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite("known@acme.test")
    data = a_file("Known,known@acme.test", '"=HYPERLINK(""http://evil.test"")",ann@acme.test', "Tab,\t=1+1", "Plus,+1@")
    header, *rows = download(admin, data, "Download error report")
    assert header == ["line", "column", "value", "problem", "remedy"]
    assert [row[:3] for row in rows] == [
        ["2", "email", "known@acme.test"],
        ["3", "company_name", '\'=HYPERLINK("http://evil.test")'],
        ["4", "email", "'\t'=1+1"],
        ["5", "email", "'+1@"],
    ]
    assert all(problem and remedy for *_rest, problem, remedy in rows)


def test_the_admins_own_file_comes_back_with_a_third_column_and_its_cells_unchanged(
    admin: Browser, app_driver: AppDriver
) -> None:
    app_driver.invite("known@acme.test")
    data = a_file(
        "=1+1, padded@acme.test ", '"Two\nLines",two@acme.test', "", "Fine,fine@acme.test", "K,known@acme.test"
    )
    header, *rows = download(admin, data, "Download my file")
    assert header == ["company_name", "email", "problem"]
    assert [row[:2] for row in rows] == cells_of(data)[1:]
    problems = [row[2] if row else None for row in rows]
    assert "“=”" in problems[0]
    assert "line break" in problems[1]
    assert problems[2:4] == [None, ""]
    assert "duplicate" in problems[4]


def test_the_annotated_file_goes_through_once_it_is_mended_with_the_column_left_in(
    admin: Browser, app_driver: AppDriver
) -> None:
    refused = a_file("Acme,ann@acme", "Bolt,bob@acme.test", "Cord")
    annotated = upload(admin, refused, to=f"{IMPORT}/annotated.csv").data
    assert sorted(errors_in(upload(admin, annotated))) == [2, 4]
    mended = annotated.replace(b"ann@acme,", b"ann@acme.test,").replace(b"Cord,,", b"Cord,cy@acme.test,")
    assert b"ann@acme.test,email:" in mended.replace(b'"', b"")
    assert upload(admin, mended).status_code == 303
    assert addresses(app_driver) == ["ann@acme.test", "bob@acme.test", "cy@acme.test"]


def test_a_file_without_cells_has_a_report_and_no_annotated_copy(admin: Browser) -> None:
    workbook = b"PK\x03\x04" + bytes(range(1, 256))
    assert "workbook" in download(admin, workbook, "Download error report")[1][3]
    assert [words(button) for button in refusal_in(upload(admin, workbook)).select("button")] == [
        "Download error report"
    ]
    refusal_in(upload(admin, workbook, to=f"{IMPORT}/annotated.csv"))


def test_nothing_of_a_rejected_file_is_kept(admin: Browser, app_driver: AppDriver) -> None:
    before = app_driver.dump()
    data = a_file("Secret Plans,plans@secret.test", "Bad")
    for path in (IMPORT, f"{IMPORT}/annotated.csv", f"{IMPORT}/report.csv"):
        for htmx in (True, False):
            upload(admin, data, to=path, htmx=htmx)
    assert app_driver.dump() == before
    assert "secret" not in admin.get(ic(HARBOUR)).text


def test_asking_for_a_download_of_a_file_that_is_fine_imports_nothing(admin: Browser, app_driver: AppDriver) -> None:
    before = app_driver.dump()
    for name in ("report", "annotated"):
        assert upload(admin, a_file("Acme,ann@acme.test"), to=f"{IMPORT}/{name}.csv").status_code == 200
    assert app_driver.dump() == before


# The template and the dialog


def test_the_template_is_the_header_and_nothing_else(admin: Browser) -> None:
    template = admin.get(f"{ic(HARBOUR)}/template.csv")
    assert template.data == b"company_name,email\r\n"
    assert template.content_type == "text/csv; charset=utf-8"
    assert template.headers["Content-Disposition"] == 'attachment; filename="imported-clients-template.csv"'


def test_the_template_filled_in_is_accepted(admin: Browser, app_driver: AppDriver) -> None:
    template = admin.get(f"{ic(HARBOUR)}/template.csv").data
    assert upload(admin, template + b"Acme,ann@acme.test\r\n").status_code == 303
    assert addresses(app_driver) == ["ann@acme.test"]


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_the_dialog_says_the_limits_before_a_file_is_chosen(admin: Browser, htmx: bool) -> None:
    answer = admin.get(IMPORT, htmx=htmx)
    assert answer.status_code == 200
    page = parse(answer)
    assert words(page.select_one("h2")) == "Import from CSV"
    (form,) = page.select("form[enctype='multipart/form-data']")
    assert form["action"] == IMPORT
    for limit in ("1,000 rows", "3 MB", "company_name,email", "UTF-8"):
        assert limit in words(form)
    (template,) = [link for link in page.select("a") if words(link) == "Download CSV Template"]
    assert template["href"] == f"{ic(HARBOUR)}/template.csv"
    assert not page.select("[data-import-errors]")
    assert ("<html" in answer.text) is not htmx
