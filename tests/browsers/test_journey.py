"""What a client admin does all day, and one invitee, in each browser: everything works and stands where it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.db.transactions import transaction
from app.models import Branding, Language, Role, Stage
from app.portals.service import grant_role
from tests.browser.conftest import BERGHOF, CORDOBA, NORDWIND
from tests.browsers.window import Window
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import ic
from tests.support.factories import PASSWORD, make_portal
from tests.support.smtp import MailServer

ROW = "#imported-clients-table tr[data-client-id]"
ESCAPE = "\ue00c"
SOUK = "souk"

HEADER = "company_name,email\r\n"
BAD = f"{HEADER}Berghof,{BERGHOF}\r\nCórdoba,hola@cordoba\r\n"
MENDED = BAD.replace("hola@cordoba", CORDOBA)

_COUNT = f"return document.querySelectorAll('{ROW}').length === arguments[0]"
# The id of a client's row, which stays when the table refreshes itself.
_ROW_OF = f"""
return [...document.querySelectorAll("{ROW}")]
  .find((row) => row.querySelector("[data-col=email]").textContent.trim().startsWith(arguments[0]))?.id"""
# How far what has opened is from the button that opened it: to its lower edge, and to the nearer of its sides.
_PLACE = """
const opened = document.querySelector(".menu-list:popover-open").getBoundingClientRect();
const button = document.activeElement.closest("button") ?? document.querySelector(arguments[0]);
const from = button.getBoundingClientRect();
return [opened.top - from.bottom, Math.min(Math.abs(opened.left - from.left), Math.abs(opened.right - from.right)),
  Math.max(0, opened.right - innerWidth, -opened.left)].map(Math.round)"""


def test_a_day_at_the_table(window: Window, mail_server: MailServer, tmp_path: Path) -> None:
    window.sign_in("ada@harbour.test", PASSWORD)
    window.open(ic(HARBOUR))
    add_by_hand(window, mail_server)
    bring_in(window, tmp_path / "clients.csv", mail_server)
    filter_and_go_back(window)
    resend(window, mail_server)
    look_into_a_history(window)
    resend_several(window, mail_server)
    remove(window)
    be_dark(window)


def add_by_hand(window: Window, mail_server: MailServer) -> None:
    window.press("Add Client")
    stands_below(window, "[popovertarget=add-client-menu]")
    window.press("Manual Add", role="link")
    window.fill("company_name", "Nordwind")
    window.fill("email", NORDWIND)
    window.press("Save")
    window.misses("dialog")
    has_rows(window, 1)
    mail_server.wait_for(NORDWIND)


def bring_in(window: Window, file: Path, mail_server: MailServer) -> None:
    """A file with a wrong line, and the same file mended."""
    file.write_text(BAD)
    window.press("Add Client")
    window.press("Bulk Invite", role="link")
    window.choose_file(file)
    window.press("Import")
    window.reads("hola@cordoba", within="dialog [data-import-errors] [data-error-line='3']")
    window.reads("Nothing was imported", within="dialog [data-import-errors]")
    file.write_text(MENDED)
    window.choose_file(file)
    window.press("Import")
    has_rows(window, 3)
    window.press_key(ESCAPE)
    window.misses("dialog")
    for email in (BERGHOF, CORDOBA):
        mail_server.wait_for(email)


def filter_and_go_back(window: Window) -> None:
    window.press("Filter")
    stands_below(window, "[popovertarget=filter-panel]")
    window.fill("company_name", "nordw", within=".menu-list:popover-open")
    window.press("Done")
    has_rows(window, 1)
    window.sees("return location.search.includes('company_name=nordw')")
    window.go_back()
    has_rows(window, 3)
    window.sees("return !location.search.includes('company_name')")
    window.go_forward()
    has_rows(window, 1)
    window.press("Clear", role="link")
    has_rows(window, 3)


def resend(window: Window, mail_server: MailServer) -> None:
    window.press("Resend Invite", within=row_of(window, NORDWIND))
    mail_server.wait_for(NORDWIND, count=2)


def look_into_a_history(window: Window) -> None:
    window.press("Nordwind*", role="link", within=f"{row_of(window, NORDWIND)} [data-col=company_name]")
    window.finds("dialog#panel li")
    window.press_key(ESCAPE)
    window.misses("dialog")


def resend_several(window: Window, mail_server: MailServer) -> None:
    for email in (BERGHOF, CORDOBA):
        window.press(None, role="checkbox", within=row_of(window, email))
    window.press("Resend*", within="form[aria-label='Selected clients']")
    window.finds("dialog form[action$='/bulk/resend']")
    window.press("Resend*")
    window.misses("dialog")
    for email in (BERGHOF, CORDOBA):
        mail_server.wait_for(email, count=2)


def remove(window: Window) -> None:
    window.press("Remove", within=row_of(window, BERGHOF))
    window.reads(BERGHOF, within="dialog:modal")
    window.press("Remove*")
    window.misses("dialog")
    has_rows(window, 2)


def be_dark(window: Window) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = window.driver.script(ground)
    window.press(None, role="[data-theme-switch]")
    window.sees(f"{ground} !== arguments[0]", before)
    window.driver.do("Refresh")
    has_rows(window, 2)
    window.sees(f"{ground} !== arguments[0]", before)


@pytest.mark.parametrize("width", [375, 1280])
def test_an_arabic_invitee_registers(
    window: Window, app_driver: AppDriver, mail_server: MailServer, width: int
) -> None:
    def make() -> None:
        make_portal(SOUK, "سوق السفر")
        grant_role(SOUK, "ada@harbour.test", Role.CLIENT_ADMIN)
        with transaction() as session:
            session.add(Branding(portal_id=SOUK, stage=Stage.PUBLISHED, language=Language.ARABIC))

    app_driver.do(make)
    app_driver.invite(NORDWIND, "Nordwind", SOUK)
    window.is_as_wide_as(width)
    window.open(mail_server.wait_for(NORDWIND).link)
    window.sees("return document.documentElement.dir === 'rtl' && document.documentElement.lang === 'ar'")
    window.sees("return getComputedStyle(document.querySelector('h1')).textAlign !== 'left'")
    # Nothing stands beside the window.
    window.sees("return document.scrollingElement.scrollWidth <= document.documentElement.clientWidth")
    window.fill("name", "نورا")
    window.fill("password", PASSWORD)
    window.press(None, role="form:has([name=password]) [type=submit]")
    mail_server.wait_for(NORDWIND, count=2)
    window.sees("return document.documentElement.dir === 'rtl' && !document.querySelector('[name=password]')")


def has_rows(window: Window, count: int) -> None:
    window.sees(_COUNT, count)


def row_of(window: Window, email: str) -> str:
    """What selects the row of the client with this address."""
    return f"#{window.sees(_ROW_OF, email)}"


def stands_below(window: Window, button: str) -> None:
    """Whether what has just opened hangs at its button, and is all in the window."""
    window.finds(".menu-list:popover-open")
    below, aside, outside = window.driver.script(_PLACE, button)
    assert 0 <= below <= 16, below
    assert aside <= 2, aside
    assert outside == 0, outside
