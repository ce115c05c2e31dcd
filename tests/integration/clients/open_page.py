"""A page that is open in a browser shows the table and asks again and again whether it has changed.

And what a page of the table shows, at a glance: to parse all of a full page takes twice as long as to make it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

from bs4 import BeautifulSoup, SoupStrainer
from sqlalchemy import update
from werkzeug.test import TestResponse

from app.core.clock import now
from app.db.transactions import transaction
from app.models import ClientEvent, MailState
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse

NORD = "info@nordwind.test"
PLACE = ("result-count", "previous-page", "next-page", "emptied-page")


def ids_in(page: TestResponse) -> list[str]:
    """The clients of a page, in their order."""
    return re.findall(r'<tr\b[^>]*\bdata-client-id="([^"]+)"', page.text)


def place_of(page: TestResponse) -> BeautifulSoup:
    """The parts of a page that say where in the table it is: see `PLACE`."""
    return BeautifulSoup(page.text, "html.parser", parse_only=SoupStrainer(id=list(PLACE)))


def settle(app_driver: AppDriver) -> None:
    """Let all that has happened be a minute ago."""

    def write() -> None:
        with transaction() as session:
            session.execute(update(ClientEvent).values(at=now() - timedelta(minutes=1)))

    app_driver.do(write)


def sent(app_driver: AppDriver, email: str = NORD) -> UUID:
    """A client whose invitation was sent a minute ago."""
    client_id = app_driver.invite(email)
    app_driver.change_mail(app_driver.mail(email).id, state=MailState.SENT)
    app_driver.let_link_lapse(client_id, now() + timedelta(days=7))
    settle(app_driver)
    return client_id


class OpenPage:
    """A page that shows the table, and asks for it."""

    def __init__(self, browser: Browser, query: str = "") -> None:
        self._browser = browser
        self.table = parse(browser.get(f"{ic(HARBOUR)}{query}")).select_one("#imported-clients")

    @property
    def address(self) -> str:
        return str(self.table["hx-get"])

    @property
    def seen(self) -> str:
        found = re.search("seen=([^&]*)", self.address)
        assert found
        return found[1]

    @property
    def names(self) -> list[str]:
        return [cell.get_text(strip=True) for cell in self.table.select("td[data-col=company_name]")]

    def ask(self) -> int:
        """The answer's status; where it has the table, that is shown now."""
        answer = self._browser.get(self.address, htmx=True)
        if answer.status_code == 200:
            self.table = parse(answer).select_one("#imported-clients")
        return answer.status_code
