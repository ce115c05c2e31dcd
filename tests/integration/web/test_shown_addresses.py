"""An address whose domain could be taken for another is shown with its punycode, wherever people see it."""

from __future__ import annotations

from bs4 import BeautifulSoup

from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, path_of, words
from tests.support.smtp import MailServer

LOOK_ALIKE = "ann@аррӏе.com"  # in Cyrillic
PUNYCODE = "xn--80ak6aa92e.com"
SHOWN = f"{LOOK_ALIKE} ({PUNYCODE})"


def test_in_the_table_its_dialogs_and_the_history(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite(LOOK_ALIKE)
    app_driver.invite("ann@apple.com")
    page = parse(admin.get(ic(HARBOUR)))
    assert {words(cell) for cell in page.select("tr[data-client-id] [data-col=email]")} == {SHOWN, "ann@apple.com"}
    client_id = app_driver.client(LOOK_ALIKE).id
    for dialog in ("remove", "history"):
        assert SHOWN in words(parse(admin.get(f"{ic(HARBOUR)}/{client_id}/{dialog}"))), dialog


def test_in_the_mail_and_on_the_invitation_s_page(
    nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.invite(LOOK_ALIKE)
    outbox.flush()
    mail = mail_server.wait_for(f"ann@{PUNYCODE}")
    for text in (
        mail.text,
        words(BeautifulSoup(mail.html, "html.parser")),
        words(parse(nobody.get(path_of(mail.link)))),
    ):
        assert SHOWN in text.replace("\u2066", "").replace("\u2069", "")
