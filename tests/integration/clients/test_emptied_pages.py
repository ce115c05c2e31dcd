"""A page, a filter or a selection that somebody has emptied: the nearest thing that exists is shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pytest
from bs4 import BeautifulSoup, SoupStrainer
from flask import Flask
from sqlalchemy import delete
from werkzeug.test import TestResponse

from app.clients.export import csv_chunks
from app.clients.list_params import read_view
from app.db.transactions import transaction
from app.models import ImportedClient
from tests.conftest import HARBOUR
from tests.integration.clients.open_page import ids_in, place_of, settle
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import import_file

TABLE = f"{ic(HARBOUR)}/table"
SORTS = pytest.mark.parametrize("sort", ["", "company_name", "-email", "status", "-email_last_sent"])


@dataclass
class Shown:
    """What a page of the table shows."""

    page: TestResponse

    @cached_property
    def place(self) -> BeautifulSoup:
        return place_of(self.page)

    @property
    def ids(self) -> list[str]:
        return ids_in(self.page)

    @property
    def count(self) -> str:
        found = self.place.select_one("#result-count")
        return words(found) if found else ""

    @property
    def empty(self) -> str | None:
        empty = SoupStrainer("td", class_="empty")
        found = BeautifulSoup(self.page.text, "html.parser", parse_only=empty).select_one("td.empty")
        return words(found) if found else None

    @property
    def sentence(self) -> str | None:
        found = self.place.select_one("#emptied-page")
        return words(found) if found else None

    def address(self, direction: str) -> str | None:
        found = self.place.select_one(f"#{direction}-page")
        return str(found["href"]) if found else None


def look(browser: Browser, address: str | None = None) -> Shown:
    response = browser.get(address or ic(HARBOUR))
    assert response.status_code == 200
    return Shown(response)


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
    """76 clients: three full pages, and one on the fourth."""
    app_driver.do(import_file, HARBOUR, *(f"c{n:02}@crowd.test" for n in range(76)))


@pytest.fixture
def colleague(admin: Browser) -> Browser:
    return admin.twin()


@SORTS
def test_before_the_first_client_stands_the_first_page_and_behind_the_last_one_the_last(
    admin: Browser, colleague: Browser, crowd: None, sort: str
) -> None:
    first, second, third, (address, fourth) = pages(admin, f"{ic(HARBOUR)}?sort={sort}")
    back = second[1].address("previous")
    remove(colleague, first[1].ids)
    now_shown = look(admin, back)
    assert (now_shown.ids, now_shown.count, now_shown.empty) == (second[1].ids, "1–25 of 51", None)
    assert now_shown.address("previous") is None
    assert look(admin, now_shown.address("next")).ids == third[1].ids

    remove(admin, fourth.ids)
    now_shown = look(admin, address)
    assert now_shown.ids == third[1].ids
    assert now_shown.count == "26–50 of 50"
    assert now_shown.empty is None
    assert now_shown.sentence == "The page you were on no longer has any clients. This is now the last page."
    assert now_shown.address("next") is None
    assert look(admin, now_shown.address("previous")).ids == second[1].ids
    remove(admin, third[1].ids)
    now_shown = look(admin, address)
    assert (now_shown.ids, now_shown.count) == (second[1].ids, "1–25 of 25")
    assert (now_shown.address("previous"), now_shown.address("next")) == (None, None)
    remove(admin, second[1].ids)
    now_shown = look(admin, address)
    assert (now_shown.ids, now_shown.count, now_shown.sentence) == ([], "", None)
    assert now_shown.empty is not None
    assert now_shown.empty.startswith("No clients yet")


@pytest.mark.both_databases
def test_the_first_page_is_a_whole_one_when_some_of_it_were_removed(
    admin: Browser, colleague: Browser, crowd: None
) -> None:
    first = look(admin)
    second = look(admin, first.address("next"))
    back = second.address("previous")
    remove(colleague, first.ids[1:])
    assert look(admin, back).ids == first.ids[:1] + second.ids[:24]


def test_no_client_matches_is_only_said_where_none_does(admin: Browser, colleague: Browser, crowd: None) -> None:
    *earlier, (address, last) = pages(admin, f"{ic(HARBOUR)}?email=crowd&health=waiting")
    remove(colleague, last.ids)
    now_shown = look(admin, address)
    assert (now_shown.count, now_shown.empty) == ("51–75 of 75", None)
    remove(colleague, [client_id for _address, page in earlier for client_id in page.ids])
    now_shown = look(admin, address)
    assert now_shown.count == "0 clients"
    assert now_shown.empty is not None
    assert now_shown.empty.startswith("No clients match")


def test_an_open_page_is_told_when_the_page_behind_it_is_gone(
    admin: Browser, colleague: Browser, app_driver: AppDriver
) -> None:
    app_driver.do(import_file, HARBOUR, *(f"c{n:02}@crowd.test" for n in range(26)))
    settle(app_driver)
    (_address, first), (_address, second) = pages(admin)
    asks = parse(first.page).select_one("#imported-clients")["hx-get"]
    assert admin.get(asks, htmx=True).status_code == 204
    remove(colleague, second.ids)
    answer = admin.get(asks, htmx=True)
    assert answer.status_code == 200
    assert Shown(answer).address("next") is None


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
