"""The table as a place to work: filters, order, pages, numbers, and what changes by itself."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import func, insert, select, update

from app.clients.list_params import TableView, read_view
from app.clients.list_queries import client_page
from app.core.clock import now
from app.core.ids import new_id
from app.core.text import fold
from app.db.transactions import transaction
from app.models import ClientStatus, ImportedClient, MailState, OutboxMail, User
from tests.conftest import ALPINE, HARBOUR
from tests.integration.clients.open_page import ids_in, place_of
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import on_sqlite
from tests.support.factories import find_client, import_file, invite

pytestmark = pytest.mark.both_databases

NAMES = ["Äther Reisen", "beta tours", "Straße 100%", "Under_score Ltd.", "Ζορμπάς", "İzmir Travel", "Øresund Ferries"]


@pytest.fixture
def clients(app: Flask) -> list[str]:
    """Seven clients of the harbour, in this order, and one of another portal."""
    with app.app_context():
        for n, name in enumerate(NAMES):
            invite(HARBOUR, f"client-{n}@example.test", name)
        invite(ALPINE, "elsewhere@example.test", "Äther Reisen", actor="olaf@alpine.test")
    return [f"client-{n}@example.test" for n in range(len(NAMES))]


def emails(browser: Browser, query: str = "") -> list[str]:
    return [row.email for row in browser.rows(HARBOUR, query)]


FOUND = {
    "?company_name=ÄTHER": [0],
    "?company_name=a%CC%88ther": [0],  # the same letter, written as two
    "?company_name=STRASSE": [2],
    "?company_name=%25": [2],
    "?company_name=_": [3],
    "?company_name=ΖΟΡΜΠΆΣ": [4],
    "?company_name=ØRESUND": [6],
    "?company_name=izmir": [5],
    "?company_name=IZMIR": [5],
    "?company_name=İZMİR": [5],
    "?company_name=ızmır": [5],
    "?company_name=nobody": [],
    "?email=CLIENT-3": [3],
    "?email=client&company_name=tours": [1],
    "?email=_": [],
    "?q=TOURS": [1],
    "?q=CLIENT-3": [3],
    "?q=example.test&company_name=ÄTHER": [0],
    "?q=%25": [2],
    "?q=_": [3],
    "?q=%00": [6, 5, 4, 3, 2, 1, 0],
    "?q=%3Cscript%3E": [],
    "?q=tours&q=nobody": [1],
    "?status=joined": [],
    "?status=invite_sent&status=joined": [6, 5, 4, 3, 2, 1, 0],
    "?status=&company_name=&email=": [6, 5, 4, 3, 2, 1, 0],
    "?status=nonsense&sort=nonsense&after=nonsense&size=7&health=x": [6, 5, 4, 3, 2, 1, 0],
    "?company_name=%00": [6, 5, 4, 3, 2, 1, 0],
    f"?company_name={'x' * 5000}": [],
}


def test_filters_find_what_contains_the_term(admin: Browser, clients: list[str]) -> None:
    for query, expected in FOUND.items():
        assert emails(admin, query) == [clients[n] for n in expected], query


@on_sqlite
def test_a_filtered_view_is_an_address_that_works_without_javascript(staff: Browser, clients: list[str]) -> None:
    page = parse(staff.get(f"{ic(HARBOUR)}?company_name=TOURS&status=invite_sent"))
    assert [words(td) for td in page.select("td[data-col=email]")] == [clients[1]]
    assert words(page.select_one("#result-count")) == "1–1 of 1"
    assert [words(chip) for chip in page.select(".chip")] == ["Invite Sent ×", "Company Name: TOURS ×"]
    assert page.select_one("#filter-company-name")["value"] == "TOURS"
    without_name = page.select_one("#chip-company_name")["href"]
    assert len(parse(staff.get(without_name)).select("tr[data-client-id]")) == len(NAMES)
    assert page.select_one("#clear-filters")["href"] == ic(HARBOUR)


@on_sqlite
def test_htmx_gets_the_part_that_changes_and_its_address(admin: Browser, clients: list[str]) -> None:
    response = admin.get(f"{ic(HARBOUR)}?company_name=tours&email=&status=invite_sent&status=joined", htmx=True)
    assert response.headers["HX-Push-Url"] == f"{ic(HARBOUR)}?company_name=tours"
    assert "<html" not in response.text
    assert len(parse(response).select("#clients-view tr[data-client-id]")) == 1


def test_each_column_sorts_both_ways_and_names_without_case(admin: Browser, clients: list[str]) -> None:
    for column in ("company_name", "email", "status", "email_last_sent"):
        upwards = emails(admin, f"?sort={column}")
        assert sorted(upwards) == sorted(clients), column
        assert emails(admin, f"?sort=-{column}") == upwards[::-1], column
        table = parse(admin.get(f"{ic(HARBOUR)}?sort={column}"))
        (header,) = [th for th in table.select("th[aria-sort]") if th["aria-sort"] == "ascending"]
        assert f"sort=-{column}" in header.a["href"]
    order = [row.company_name for row in admin.rows(HARBOUR, "?sort=company_name")]
    assert order.index("beta tours") < order.index("Under_score Ltd.")


@pytest.mark.parametrize("sort", ["", "company_name", "-company_name", "-email", "status", "-email_last_sent"])
def test_paging_by_key_meets_each_client_once_and_comes_back(app: Flask, admin: Browser, sort: str) -> None:
    # Many share a name and a moment: the id has to tell them apart.
    insert_many(app, [(f"p{n}@example.test", f"Name {n % 3}") for n in range(51)])
    forth: list[list[str]] = []
    address: str | None = f"{ic(HARBOUR)}?sort={sort}"
    while address:
        answer = admin.get(address)
        forth.append(ids_in(answer))
        page = place_of(answer)
        address = (page.select_one("#next-page") or {}).get("href")
    assert [len(rows) for rows in forth] == [25, 25, 1]
    assert len({client for rows in forth for client in rows}) == 51
    back = [forth[-1]]
    address = page.select_one("#previous-page")["href"]
    while address:
        answer = admin.get(address)
        back.insert(0, ids_in(answer))
        address = (place_of(answer).select_one("#previous-page") or {}).get("href")
    assert back == forth


def insert_many(app: Flask, clients: list[tuple[str, str]]) -> None:
    """Clients of the harbour with these addresses and names, and without mails."""
    rows = [{"email": email, "company_name": name, "company_name_folded": fold(name)} for email, name in clients]
    with app.app_context(), transaction() as session:
        common = {"portal_id": HARBOUR, "generation": 1}
        session.execute(insert(ImportedClient), [{"id": new_id(), **common, **row} for row in rows])


def test_each_page_says_which_clients_it_shows(app: Flask, admin: Browser, clients: list[str]) -> None:
    with app.app_context():
        import_file(HARBOUR, *(f"crowd-{n}@example.test" for n in range(45)))
    for query in ("", "sort=company_name&", "sort=-status&", "q=example&", "health=waiting&"):
        shown = []
        address: str | None = f"{ic(HARBOUR)}?{query}size=25"
        while address:
            page = place_of(admin.get(address))
            shown.append(words(page.select_one("#result-count")))
            address = (page.select_one("a[rel=next]") or {}).get("href")
        assert shown == ["1–25 of 52", "26–50 of 52", "51–52 of 52"], query
        assert count_of(admin, page.select_one("a[rel=prev]")["href"]) == shown[1]


def count_of(browser: Browser, address: str) -> str:
    return words(place_of(browser.get(address)).select_one("#result-count"))


def test_the_count_is_exact_to_a_thousand(app: Flask, admin: Browser) -> None:
    insert_many(app, [(f"n{n}@x.test", "N") for n in range(1000)])
    assert count_of(admin, ic(HARBOUR)) == "1–25 of 1,000"
    insert_many(app, [("one.more@x.test", "N")])
    assert count_of(admin, ic(HARBOUR)) == "1–25 of more than 1,000"
    # The place of the last page is not counted either.
    view: TableView | None = read_view({"size": ["100"]})
    with app.app_context():
        while view:
            last, view = view, client_page(HARBOUR, view).next
    assert count_of(admin, f"{ic(HARBOUR)}?{urlencode(last.query())}") == "1,001–1,001 of more than 1,000"


def test_the_filter_tabs_count_and_show_just_those(app: Flask, admin: Browser, clients: list[str]) -> None:
    with app.app_context(), transaction() as session:
        ids = [find_client(HARBOUR, email).id for email in clients]
        somebody = select(func.min(User.id)).scalar_subquery()
        sent = update(OutboxMail).values(state=MailState.SENT)
        session.execute(sent.where(OutboxMail.client_id.in_(ids[1:])))
        session.execute(update(OutboxMail).where(OutboxMail.client_id == ids[1]).values(state=MailState.FAILED))
        change = update(ImportedClient).where(ImportedClient.portal_id == HARBOUR)
        session.execute(change.where(ImportedClient.id == ids[2]).values(link_expires_at=now() - timedelta(days=1)))
        session.execute(change.where(ImportedClient.id == ids[3]).values(link_expires_at=now() + timedelta(hours=40)))
        session.execute(change.where(ImportedClient.id == ids[4]).values(registered_at=now(), registered_generation=1))
        session.execute(
            change.where(ImportedClient.id == ids[5]).values(
                status=ClientStatus.JOINED, joined_at=now(), registered_at=now(), user_id=somebody
            )
        )
    page = parse(admin.get(ic(HARBOUR)))
    tabs = {li["data-filter-tab"]: li for li in page.select("[data-filter-tab]")}
    assert {name: words(li.select_one(".number")) for name, li in tabs.items()} == {
        "all": "7",
        "invited": "6",
        "waiting": "1",
        "failed": "1",
        "expired": "1",
        "joined": "1",
        "attention": "4",
    }
    expected = {
        "all": [0, 1, 2, 3, 4, 5, 6],
        "invited": [0, 1, 2, 3, 4, 6],
        "waiting": [0],
        "failed": [1],
        "expired": [2],
        "joined": [5],
        "attention": [1, 2, 3, 4],
    }
    for name, numbers in expected.items():
        rows = parse(admin.get(tabs[name].a["href"])).select("td[data-col=email]")
        assert sorted(words(td) for td in rows) == [clients[n] for n in numbers], name


@on_sqlite
def test_the_table_is_asked_again_only_while_something_may_change(
    app: Flask, admin: Browser, clients: list[str]
) -> None:
    def live() -> bool:
        return parse(admin.get(ic(HARBOUR))).select_one("#imported-clients").has_attr("data-live")

    assert live()
    with app.app_context(), transaction() as session:
        session.execute(update(OutboxMail).values(state=MailState.FAILED))
    assert not live()


@on_sqlite
def test_a_table_that_shows_all_this_already_is_not_sent_again(app: Flask, admin: Browser, clients: list[str]) -> None:
    address = parse(admin.get(ic(HARBOUR))).select_one("#imported-clients")["hx-get"]
    again = admin.get(address, htmx=True)
    if again.status_code == 200:
        # The newest event became old enough for a revision in between, so the page was told it.
        address = parse(again).select_one("#imported-clients")["hx-get"]
        again = admin.get(address, htmx=True)
    assert again.status_code == 204
    with app.app_context(), transaction() as session:
        claimed = update(OutboxMail).where(OutboxMail.recipient == clients[3])
        session.execute(claimed.values(state=MailState.SENDING, attempts=1))
    changed = admin.get(address, htmx=True)
    assert changed.status_code == 200
    row = parse(changed).select_one('tr[data-delivery="sending"]')
    assert words(row.select_one("[data-col=email]")) == clients[3]


def test_the_last_weeks_are_a_picture_and_a_table(app: Flask, staff: Browser, clients: list[str]) -> None:
    page = parse(staff.get(f"{ic(HARBOUR)}/weeks"))
    rows = [[words(cell) for cell in tr.select("td")] for tr in page.select(".weeks tbody tr")]
    assert len(rows) == 12
    assert rows[0] == [str(len(NAMES)), "0"]
    assert page.select_one(".weeks svg title")
