"""A workbook with a wrong row is marked, mended, imported and taken back, in each browser."""

from __future__ import annotations

import time
from pathlib import Path

from python_calamine import CalamineWorkbook

from tests.browser.conftest import BERGHOF, CORDOBA
from tests.browsers.test_journey import ESCAPE, has_rows
from tests.browsers.window import PATIENCE_SECONDS, Window
from tests.conftest import HARBOUR
from tests.support.browser import ic
from tests.support.factories import PASSWORD
from tests.support.smtp import MailServer
from tests.support.webdriver import Firefox
from tests.unit.imports.workbooks import HEADER, xlsx

ROWS = [HEADER, ["Berghof", BERGHOF], ["Córdoba", "hola@cordoba"]]


def test_a_workbook_is_mended_imported_and_taken_back(window: Window, mail_server: MailServer, tmp_path: Path) -> None:
    window.sign_in("ada@harbour.test", PASSWORD)
    window.open(ic(HARBOUR))
    file = tmp_path / "clients.xlsx"
    file.write_bytes(xlsx(ROWS))
    window.press("Add Client")
    window.press("Bulk Invite", role="link")
    window.choose_file(file)
    window.press("Import")
    window.reads("hola@cordoba", within="dialog [data-import-errors] [data-error-line='3']")

    rows = ROWS
    if isinstance(window.driver, Firefox):  # the small browser of WebKitGTK keeps no downloads
        window.press("Download my file with problems marked")
        rows = rows_of(tmp_path / "profile" / "import-with-problems.xlsx")
        assert rows[0] == [*HEADER, "problem"]
        assert rows[2][2].startswith("email: ")
    file.write_bytes(xlsx([[CORDOBA if cell == "hola@cordoba" else cell for cell in row] for row in rows]))
    window.choose_file(file)
    window.press("Import")
    window.reads("2 clients imported", within="#dialog")
    window.press_key(ESCAPE)
    window.misses("dialog")
    has_rows(window, 2)
    for email in (BERGHOF, CORDOBA):
        mail_server.wait_for(email)

    window.press("Imports", role="link")
    window.press("Take back clients.xlsx")
    window.press("Remove 2 clients")
    window.misses("dialog")
    window.reads("2 clients removed.", within="#page-status")
    window.press("Back to the clients", role="link")
    has_rows(window, 0)


def rows_of(file: Path) -> list[list[str]]:
    """The rows of a workbook, once a browser has written it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (file.exists() and file.stat().st_size):
        assert time.monotonic() < deadline, f"{file.name} was not downloaded"
        time.sleep(0.05)
    return [[str(cell) for cell in row] for row in CalamineWorkbook.from_path(file).get_sheet_by_index(0).to_python()]
