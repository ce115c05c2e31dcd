"""A page, a filter or a selection that somebody has emptied: the nearest thing that exists is shown."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import delete

from app.clients.export import csv_chunks
from app.clients.list_params import read_view
from app.db.transactions import transaction
from app.models import ImportedClient
from tests.conftest import HARBOUR
from tests.integration.clients.open_page import settle
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import PASSWORD, import_file

TABLE = f"{ic(HARBOUR)}/table"
SORTS = pytest.mark.parametrize("sort", ["", "company_name", "-email", "status", "-email_last_sent"])


@dataclass
class Shown:
    """What a page of the table shows."""

    html: BeautifulSoup

    @property
    def ids(self) -> list[str]:
        return [row["data-client-id"] for row in self.html.select("tr[data-client-id]")]

    @property
    def count(self) -> str:
        found = self.html.select_one("#result-count")
        return words(found) if found else ""

    @property
    def empty(self) -> str | None:
        found = self.html.select_one("td.empty")
        return words(found) if found else None

    @property
    def sentence(self) -> str | None:
        found = self.html.select_one("#emptied-page")
        return words(found) if found else None

    def address(self, direction: str) -> str | None:
        found = self.html.select_one(f"#{direction}-page")
        return str(found["href"]) if found else None


def look(browser: Browser, address: str | None = None) -> Shown:
    response = browser.get(address or ic(HARBOUR))
    assert response.status_code == 200
    return Shown(parse(response))


def pages(browser: Browser, address: str | None = ic(HARBOUR)) -> list[tuple[str, Shown]]:
    """All pages with their addresses, from the first to the last."""
    found = []
    while address:
        page = look(browser, address)
        found.append((address, page))
        address = page.address("next")
    return found


def remove(browser: Browser, ids: list[str]) -> None:
    assert browser.post(f"{ic(HARBOUR)}/bulk/remove", {"client_id": ids}, htmx=True).status_code == 200


@pytest.fixture
def crowd(app_driver: AppDriver) -> None:
    """75 clients: three full pages."""
    app_driver.do(import_file, HARBOUR, *(f"c{n:02}@crowd.test" for n in range(75)))


@pytest.fixture
def colleague(app: Flask) -> Browser:
    browser = Browser(app)
    browser.sign_in("ada@harbour.test", PASSWORD)
    return browser


@SORTS
def test_behind_the_last_client_stands_the_last_page_that_has_some(admin: Browser, crowd: None, sort: str) -> None:
    first, second, third = pages(admin, f"{ic(HARBOUR)}?sort={sort}")
    address = third[0]
    remove(admin, third[1].ids)
    now_shown = look(admin, address)
    assert now_shown.ids == second[1].ids
    assert now_shown.count == "26–50 of 50"
    assert now_shown.empty is None
    assert now_shown.sentence == "The page you were on no longer has any clients. This is now the last page."
    assert now_shown.address("next") is None
    assert look(admin, now_shown.address("previous")).ids == first[1].ids
    remove(admin, second[1].ids)
    now_shown = look(admin, address)
    assert (now_shown.ids, now_shown.count) == (first[1].ids, "1–25 of 25")
    assert (now_shown.address("previous"), now_shown.address("next")) == (None, None)
    remove(admin, first[1].ids)
    now_shown = look(admin, address)
    assert (now_shown.ids, now_shown.count, now_shown.sentence) == ([], "", None)
    assert now_shown.empty is not None
    assert now_shown.empty.startswith("No clients yet")


@SORTS
def test_before_the_first_client_stands_the_first_page(
    admin: Browser, colleague: Browser, crowd: None, sort: str
) -> None:
    first, second, third = pages(admin, f"{ic(HARBOUR)}?sort={sort}")
    back = second[1].address("previous")
    remove(colleague, first[1].ids)
    now_shown = look(admin, back)
    assert (now_shown.ids, now_shown.count, now_shown.empty) == (second[1].ids, "1–25 of 50", None)
    assert now_shown.address("previous") is None
    assert look(admin, now_shown.address("next")).ids == third[1].ids


@pytest.mark.both_databases
def test_the_first_page_is_a_whole_one_when_some_of_it_were_removed(
    admin: Browser, colleague: Browser, crowd: None
) -> None:
    first, second, _third = pages(admin)
    back = second[1].address("previous")
    remove(colleague, first[1].ids[1:])
    assert look(admin, back).ids == first[1].ids[:1] + second[1].ids[:24]


def test_no_client_matches_is_only_said_where_none_does(admin: Browser, colleague: Browser, crowd: None) -> None:
    first, second, (address, third) = pages(admin, f"{ic(HARBOUR)}?email=crowd&health=waiting")
    remove(colleague, third.ids)
    assert (look(admin, address).count, look(admin, address).empty) == ("26–50 of 50", None)
    remove(colleague, [*first[1].ids, *second[1].ids])
    now_shown = look(admin, address)
    assert now_shown.count == "0 clients"
    assert now_shown.empty is not None
    assert now_shown.empty.startswith("No clients match")


def test_an_open_page_is_told_when_the_page_behind_it_is_gone(
    admin: Browser, colleague: Browser, crowd: None, app_driver: AppDriver
) -> None:
    settle(app_driver)
    _first, second, third = pages(admin)
    asks = second[1].html.select_one("#imported-clients")["hx-get"]
    assert admin.get(asks, htmx=True).status_code == 204
    remove(colleague, third[1].ids)
    answer = admin.get(asks, htmx=True)
    assert answer.status_code == 200
    assert Shown(parse(answer)).address("next") is None


@pytest.mark.both_databases
def test_an_export_does_not_begin_again_when_its_end_is_removed_meanwhile(app: Flask, app_driver: AppDriver) -> None:
    app_driver.do(import_file, HARBOUR, *(f"c{n:03}@crowd.test" for n in range(501)))

    def remove_the_rest() -> None:
        with transaction() as session:
            session.execute(delete(ImportedClient).where(ImportedClient.email == "c500@crowd.test"))

    with app.app_context():
        pieces = csv_chunks(app, HARBOUR, read_view({}))
        lines = next(pieces).decode().splitlines()
    app_driver.do(remove_the_rest)
    lines += b"".join(pieces).decode().splitlines()
    assert len(lines) == len(set(lines)) == 501


@pytest.mark.both_databases
@pytest.mark.parametrize("action", ["resend", "remove"])
def test_a_selection_that_somebody_else_removed_is_told_as_that(
    admin: Browser, colleague: Browser, app_driver: AppDriver, action: str
) -> None:
    client_id = str(app_driver.invite("info@nordwind.test"))
    remove(colleague, [client_id])
    for query in (f"client_id={client_id}", "all=1&email=nordwind"):
        answer = admin.get(f"{ic(HARBOUR)}/bulk/{action}?{query}", htmx=True)
        assert answer.status_code == 409
        assert words(parse(answer)) == "The selected clients no longer exist; someone may have removed them."
        assert "clients-changed" in answer.headers["HX-Trigger"]
    assert admin.get(f"{ic(HARBOUR)}/bulk/{action}", htmx=True).status_code == 422
