"""Bulk Invite in a real browser: a file with faults, the same file mended, and the mails on their way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.support.chromium import Person
from tests.support.smtp import MailServer
from tests.unit.imports.workbooks import xlsx
from workbook_reader.reading import read

pytestmark = pytest.mark.browser

HEADER = "company_name,email\r\n"
GOOD = f"{HEADER}Nordwind,info@nordwind.test\r\nBerghof,post@berghof.test\r\nCórdoba,hola@cordoba.test\r\n"
BAD = GOOD.replace("post@berghof.test", "post@berghof")


@pytest.fixture
def list_of_clients(tmp_path: Path) -> Path:
    return tmp_path / "autumn clients.csv"


def choose(person: Person, file: Path, content: str) -> None:
    file.write_text(content, encoding="utf-8", newline="")
    person.dialog.get_by_label("CSV file").set_input_files(file)


def progress(place: Locator) -> Locator:
    return place.locator("[data-import-progress]")


def above_the_table(person: Person) -> Locator:
    return person.page.locator("#recent-imports")


def test_a_bad_file_is_mended_with_the_help_of_its_annotated_copy_and_imported(
    ada: Person, mail_server: MailServer, list_of_clients: Path, tmp_path: Path
) -> None:
    mail_server.hold.set()
    ada.choose("Bulk Invite")
    expect(ada.dialog).to_have_accessible_name("Import from CSV")
    expect(ada.dialog).to_contain_text("At most 1,000 rows and 3 MB")
    choose(ada, list_of_clients, BAD)

    ada.expects(422)
    ada.press("Import")
    refusal = ada.dialog.locator("[data-import-errors]")
    expect(refusal).to_contain_text("Nothing was imported.")
    expect(refusal.locator("[data-error-summary]")).to_be_focused()
    expect(refusal.locator("[data-error-line]")).to_have_count(1)
    expect(refusal.locator("[data-error-line='3']")).to_contain_text("post@berghof")
    expect(refusal.locator("[data-error-line='3']")).to_contain_text("isn't a valid email domain")
    expect(ada.rows).to_have_count(0)

    # The file is still chosen, and posted again for this.
    with ada.page.expect_download() as download:
        ada.press("Download my file with problems marked")
    annotated = tmp_path / download.value.suggested_filename
    download.value.save_as(annotated)
    lines = annotated.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "company_name,email,problem"
    assert lines[2].startswith("Berghof,post@berghof,")
    expect(refusal).to_be_visible()

    choose(ada, annotated, annotated.read_text(encoding="utf-8-sig").replace("post@berghof,", "post@berghof.test,"))
    ada.press("Import")
    expect(ada.dialog).to_have_accessible_name("3 clients imported")
    expect(progress(ada.dialog)).to_have_text("0 of 3 sent")
    expect(ada.rows).to_have_count(3)
    mail_server.hold.clear()
    expect(progress(ada.dialog)).to_have_text("3 of 3 sent")
    expect(ada.dialog.locator("progress")).to_have_js_property("value", 3)
    assert sorted(mail.recipient for mail in mail_server.mails) == [
        "hola@cordoba.test",
        "info@nordwind.test",
        "post@berghof.test",
    ]


def test_a_bad_workbook_is_mended_in_its_annotated_copy_and_imported(ada: Person, tmp_path: Path) -> None:
    file = tmp_path / "autumn.xlsx"
    rows = [["company_name", "email"], ["Nordwind", "info@nordwind.test"], ["Berghof", "post@berghof"]]
    file.write_bytes(xlsx(rows, hidden=[2]))
    ada.choose("Bulk Invite")
    with ada.page.expect_download() as template:
        ada.dialog.get_by_role("link", name="Excel template").click()
    assert template.value.suggested_filename == "imported-clients-template.xlsx"
    ada.dialog.get_by_label("CSV file or workbook").set_input_files(file)
    ada.expects(422)
    ada.press("Import")
    refusal = ada.dialog.locator("[data-import-errors]")
    expect(refusal.locator("[data-error-line='3']")).to_contain_text("isn't a valid email domain")
    expect(refusal.locator("[data-note='hidden_rows']")).to_contain_text("line 2")

    with ada.page.expect_download() as download:
        ada.press("Download my file with problems marked")
    assert download.value.suggested_filename == "import-with-problems.xlsx"
    copy = read(download.value.path().read_bytes())
    assert "rows" in copy
    cells = [row for _line, row in copy["rows"]]
    assert cells[2][:2] == rows[2]
    assert "isn't a valid email domain" in cells[2][2]

    cells[2][1] = "post@berghof.test"
    file.write_bytes(xlsx(cells))
    ada.dialog.get_by_label("CSV file or workbook").set_input_files(file)
    ada.press("Import")
    expect(ada.dialog).to_have_accessible_name("2 clients imported")
    expect(ada.rows).to_have_count(2)


def test_the_bar_is_found_again_above_the_table_and_survives_a_reload(
    ada: Person, mail_server: MailServer, list_of_clients: Path
) -> None:
    mail_server.hold.set()
    mail_server.refuse["hola@cordoba.test"] = "550 no such user"
    ada.choose("Bulk Invite")
    choose(ada, list_of_clients, GOOD)
    ada.press("Import")
    expect(ada.dialog).to_have_accessible_name("3 clients imported")
    ada.page.keyboard.press("Escape")
    expect(ada.dialog).to_be_hidden()
    expect(ada.page.get_by_role("button", name="Add Client")).to_be_focused()

    expect(above_the_table(ada)).to_contain_text("autumn clients.csv")
    expect(progress(above_the_table(ada))).to_have_text(re.compile("^0 of 3 sent"))
    ada.page.reload()
    expect(progress(above_the_table(ada))).to_have_text(re.compile("^0 of 3 sent"))

    mail_server.hold.clear()
    expect(progress(above_the_table(ada))).to_have_text("2 of 3 sent · 1 failed")
    # The table shows how it ended without being asked.
    expect(ada.row("info@nordwind.test")).to_have_attribute("data-delivery", "sent")
    expect(ada.row("hola@cordoba.test")).to_have_attribute("data-delivery", "failed")
    ada.page.reload()
    expect(progress(above_the_table(ada))).to_have_text("2 of 3 sent · 1 failed")


def test_the_dialog_gives_a_template_asks_for_a_file_and_takes_one_that_is_dropped(ada: Person) -> None:
    ada.choose("Bulk Invite")
    with ada.page.expect_download() as download:
        ada.dialog.get_by_role("link", name="Download CSV Template").click()
    assert download.value.path().read_bytes() == b"company_name,email\r\n"
    expect(ada.dialog).to_have_accessible_name("Import from CSV")

    ada.expects(422)
    ada.press("Import")
    expect(ada.dialog.get_by_role("alert").filter(has_text="no file was chosen")).to_be_focused()

    dropped = ada.page.evaluate_handle(
        """(content) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([content], "dropped.csv", { type: "text/csv" }));
          return transfer;
        }""",
        GOOD,
    )
    zone = ada.dialog.locator("[data-dropzone]")
    for event in ("dragover", "drop"):
        zone.dispatch_event(event, {"dataTransfer": dropped})
    assert ada.dialog.get_by_label("CSV file").evaluate("field => field.files[0].name") == "dropped.csv"
    ada.press("Import")
    expect(ada.dialog).to_have_accessible_name("3 clients imported")
    expect(ada.rows).to_have_count(3)


def test_a_file_that_cannot_be_sent_is_no_dead_end(ada: Person, list_of_clients: Path) -> None:
    """It was moved away after it was chosen: the browser then cannot send it."""
    ada.choose("Bulk Invite")
    choose(ada, list_of_clients, GOOD)
    list_of_clients.unlink()
    ada.expects("ERR_")
    ada.press("Import")
    notice = ada.dialog.get_by_role("alert").filter(has_text="Choose it again")
    expect(notice.locator("[data-alert]")).to_be_focused()
    expect(ada.rows).to_have_count(0)

    choose(ada, list_of_clients, GOOD)
    ada.press("Import")
    expect(ada.dialog).to_have_accessible_name("3 clients imported")


def test_a_file_that_is_too_large_is_refused_in_the_dialog(ada: Person, list_of_clients: Path) -> None:
    ada.choose("Bulk Invite")
    for size in (3_145_729, 5_000_000):
        choose(ada, list_of_clients, GOOD + "\n" * (size - len(GOOD.encode())))
        ada.expects(413)
        # The same sentence is there from the last time; the file may not be changed while it is still being sent.
        with ada.page.expect_response(lambda answer: answer.status == 413):
            ada.press("Import")
        expect(ada.dialog.locator("[data-import-errors]")).to_contain_text("larger than 3 MiB")
    choose(ada, list_of_clients, GOOD)
    ada.press("Import")
    expect(ada.dialog).to_have_accessible_name("3 clients imported")


def test_warnings_can_be_opened_after_the_import(ada: Person, list_of_clients: Path) -> None:
    ada.choose("Bulk Invite")
    choose(ada, list_of_clients, GOOD + "Delta,dora@gmial.com\r\n")
    ada.press("Import")
    warnings = ada.dialog.locator("[data-slip]")
    expect(warnings).to_have_count(2)
    expect(warnings.first).to_be_hidden()
    ada.dialog.get_by_text("2 things to check").click()
    expect(warnings.first).to_contain_text("did you mean @gmail.com?")
