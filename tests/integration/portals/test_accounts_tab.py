"""Settings → Accounts: the tab All with its filter, and the pages of both tabs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from urllib.parse import quote

import pytest
from bs4 import Tag
from flask import Flask
from sqlalchemy import update

from app.accounts.users import new_user
from app.core.clock import now
from app.core.ids import new_id
from app.core.text import fold
from app.db.transactions import transaction
from app.models import ImportedClient, Membership, Role
from tests.conftest import ALPINE, HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import make_member

ALL = "/portals/harbour/settings/accounts"
STAFFED = ["Ada Berg", "Carla Vega", "Sam Lund"]


def make_members(portal_id: str, names: list[str]) -> None:
    """Many at once, none of whom can sign in."""
    with transaction() as session:
        users = [new_user(f"member{n}@{portal_id}.test", name, "no password") for n, name in enumerate(names)]
        session.add_all(users)
        session.flush()
        session.add_all(Membership(portal_id=portal_id, user_id=user.id, role=Role.CLIENT) for user in users)


def make_clients(portal_id: str, count: int) -> None:
    """Many at once, one after the other, whose mails were sent and forgotten long ago."""
    with transaction() as session:
        for n in range(count):
            client = ImportedClient(
                portal_id=portal_id,
                id=new_id(),
                company_name=f"Client {n:03}",
                company_name_folded=fold(f"Client {n:03}"),
                email=f"client{n:03}@many.test",
                link_expires_at=now() + timedelta(days=1),
            )
            session.add(client)


def shown(browser: Browser, query: str = "", path: str = ALL) -> list[str]:
    """The names a page of the tab shows, from top to bottom."""
    page = browser.get(path + query)
    assert page.status_code == 200
    return [words(cell) for cell in parse(page).select("tbody td[data-col=name]")]


def filtered(browser: Browser, typed: str) -> list[str]:
    return shown(browser, f"?q={quote(typed)}")


def pages(browser: Browser, path: str) -> Iterator[Tag]:
    """Each page in turn, as somebody turns them who presses "Next page"."""
    following: str | None = path
    for _ in range(20):
        if following is None:
            return
        response = browser.get(following)
        assert response.status_code == 200
        page = parse(response)
        yield page
        link = page.select_one("#next-page")
        following = str(link["href"]) if link else None
    raise AssertionError("the pages never end")


def test_the_tab_shows_name_address_role_and_when_each_joined(
    admin: Browser, app: Flask, app_driver: AppDriver
) -> None:
    joined = datetime(2026, 3, 1, 9, 30, 15, tzinfo=UTC)

    def join_earlier() -> None:
        with transaction() as session:
            session.execute(
                update(Membership)
                .where(Membership.user_id == app_driver.user("carla@client.test").id)
                .values(created_at=joined)
            )

    app_driver.do(join_earlier)
    rows = [
        {cell["data-col"]: cell for cell in row.select("td[data-col]")}
        for row in parse(admin.get(ALL)).select("tbody tr[data-user-id]")
    ]
    assert [[words(row[column]) for column in ("name", "email", "role")] for row in rows] == [
        ["Ada Berg", "ada@harbour.test", "Client admin"],
        ["Carla Vega", "carla@client.test", "Client"],
        ["Sam Lund", "sam@harbour.test", "Staff"],
    ]
    assert rows[1]["joined"].time["datetime"] == "2026-03-01T09:30:15Z"


def test_staff_see_the_same_accounts(staff: Browser) -> None:
    assert shown(staff) == STAFFED


def test_the_two_tabs_are_links_to_each_other(admin: Browser) -> None:
    for path, current in ((ALL, "All"), (ic(HARBOUR), "Imported Clients")):
        tabs = parse(admin.get(path)).select("nav.tabs a")
        assert {words(tab): tab["href"] for tab in tabs} == {"All": ALL, "Imported Clients": ic(HARBOUR)}
        assert [words(tab) for tab in tabs if tab.get("aria-current") == "page"] == [current]


def test_another_portal_s_accounts_are_not_among_them(admin: Browser, stranger: Browser, app_driver: AppDriver) -> None:
    app_driver.do(make_members, ALPINE, ["Aaron Elsewhere"])
    assert shown(admin) == STAFFED
    assert filtered(admin, "Elsewhere") == []
    assert shown(stranger, path="/portals/alpine/settings/accounts") == ["Aaron Elsewhere", "Olaf Nyman"]


# The filter

NAMES = [
    "Straße Übersee",
    "ÅSA Öberg",
    "Ιωάννης Παπάς",
    "Ирина Волкова",
    "Işıl Irmak",
    "100% Pure",
    "snake_case",
    "Back\\slash",
    "O'Neil",
]
FOUND = {
    "STRASSE": ["Straße Übersee"],
    "straße": ["Straße Übersee"],
    "übersee": ["Straße Übersee"],
    "U\u0308BERSEE": ["Straße Übersee"],
    "åsa öb": ["ÅSA Öberg"],
    "ΠΑΠΆΣ": ["Ιωάννης Παπάς"],
    "ВОЛКОВА": ["Ирина Волкова"],
    "ırmak": ["Işıl Irmak"],
    "IŞIL": ["Işıl Irmak"],
    "%": ["100% Pure"],
    "0%": ["100% Pure"],
    "_": ["snake_case"],
    "e_c": ["snake_case"],
    "\\": ["Back\\slash"],
    "o'n": ["O'Neil"],
    "  berg  ": ["Ada Berg", "ÅSA Öberg"],
    "SAM@HARBOUR": ["Sam Lund"],
    "@client.test": ["Carla Vega"],
    "zzz": [],
    "%_%": [],
    "a%a": [],
    "' OR 1=1 --": [],
}


def test_the_filter_looks_for_a_part_of_name_or_address_without_case(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.do(make_members, HARBOUR, NAMES)
    assert sorted(filtered(admin, "")) == sorted([*STAFFED, *NAMES])
    for typed, names in FOUND.items():
        assert sorted(filtered(admin, typed)) == sorted(names), typed


def test_what_was_filtered_by_stays_in_the_field_and_can_be_cleared(admin: Browser) -> None:
    page = parse(admin.get(f"{ALL}?q={quote('<b>' + chr(34))}"))
    assert page.select_one("#q")["value"] == '<b>"'
    assert "No account matches" in words(page.select_one("tbody"))
    clear = page.select_one(".search a")
    assert (words(clear), clear["href"]) == ("Clear", ALL)
    assert not parse(admin.get(ALL)).select(".search a")


# Pages


def test_paging_over_120_accounts_visits_each_once_by_name(admin: Browser, app_driver: AppDriver) -> None:
    # Pairs of the same name; the first page ends between the two of one.
    app_driver.do(make_members, HARBOUR, [f"Member {(n + 1) // 2:02}" for n in range(117)])
    seen = [cell for page in pages(admin, ALL) for cell in page.select("tbody tr[data-user-id]")]
    assert len(seen) == len({row["data-user-id"] for row in seen}) == 120
    names = [words(row.select_one("[data-col=name]")) for row in seen]
    assert names == sorted(names)
    assert names[49] == names[50]


def test_the_filter_holds_on_every_page(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.do(make_members, HARBOUR, [f"{'Wanted' if n % 2 else 'Other'} {n:03}" for n in range(130)])
    found = list(pages(admin, f"{ALL}?q=WANTED"))
    assert len(found) == 2
    seen = [words(cell) for page in found for cell in page.select("td[data-col=name]")]
    assert seen == [f"Wanted {n:03}" for n in range(130) if n % 2]


def test_another_portal_s_account_is_no_place_to_begin_a_page(admin: Browser, app_driver: AppDriver) -> None:
    """Else the page would tell how a person elsewhere is called."""
    app_driver.do(make_members, ALPINE, ["Bert Elsewhere"])
    foreign = app_driver.user("member0@alpine.test").id
    assert shown(admin, f"?after={foreign}") == STAFFED
    own = app_driver.user("ada@harbour.test").id
    assert shown(admin, f"?after={own}") == STAFFED[1:]


def test_paging_over_120_clients_visits_each_once_newest_first(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.do(make_clients, HARBOUR, 120)
    newest = app_driver.invite("newest@nordwind.test")
    app_driver.invite("foreign@nordwind.test", portal_id=ALPINE)
    rows = [row for page in pages(admin, ic(HARBOUR)) for row in page.select("tr[data-client-id]")]
    ids = [row["data-client-id"] for row in rows]
    assert len(ids) == len(set(ids)) == 121
    assert ids[0] == str(newest)
    addresses = [words(row.select_one("[data-col=email]")) for row in rows[1:]]
    assert addresses == [f"client{n:03}@many.test" for n in reversed(range(120))]


def test_a_row_added_while_somebody_turns_pages_neither_hides_nor_repeats_another(
    admin: Browser, app_driver: AppDriver
) -> None:
    app_driver.do(make_clients, HARBOUR, 120)
    seen = []
    for page in pages(admin, ic(HARBOUR)):
        seen += [words(cell) for cell in page.select("tr[data-client-id] [data-col=email]")]
        app_driver.invite(f"newer{len(seen)}@nordwind.test")
    assert seen == [f"client{n:03}@many.test" for n in reversed(range(120))]


# Anything in the query


NUMBERS = ["0", "-1", "1e9", "99999999999", "9" * 30, "9" * 5000, "٣"]
STRANGE = ["", "x", *NUMBERS, "x" * 5000, "%00", "a%00b", "%FF", "%F0%9F%92%A9", "../..", "%27"]
# What stands together in an address is read independently of each other.
FILTERS = [("after", "status", "sort"), ("q", "company_name"), ("email",)]
NOT_OURS = [("page", "portal_id", "endpoint", "values", "self", "_external", "_scheme", "_anchor", "_method")]


@pytest.mark.parametrize("path", [ALL, ic(HARBOUR), f"{ic(HARBOUR)}/table"], ids=["All", "Imported Clients", "table"])
def test_whatever_the_query_holds_the_answer_is_a_page(admin: Browser, app_driver: AppDriver, path: str) -> None:
    app_driver.invite("info@nordwind.test")
    for parameters, value in [*product(FILTERS, STRANGE), *product(NOT_OURS, ["x", "1", "%00"])]:
        answer = admin.get(f"{path}?{'&'.join(f'{name}={value}&{name}={value}' for name in parameters)}")
        assert answer.status_code == 200, (parameters, value[:40])


def test_a_query_never_turns_our_links_into_somebody_else_s(admin: Browser, app_driver: AppDriver) -> None:
    page = admin.get(f"{ic(HARBOUR)}?_external=1&_scheme=javascript&_anchor=x&portal_id={ALPINE}")
    assert page.status_code == 200
    for element in parse(page).select("[href], [action], [hx-get], [hx-post]"):
        for attribute in ("href", "action", "hx-get", "hx-post"):
            target = element.get(attribute, "/")
            assert target.startswith(("/", "#")), target
            assert ALPINE not in target


# Who sees what


def test_staff_see_the_clients_and_no_button(staff: Browser, admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite("info@nordwind.test")
    for_admin, for_staff = admin.row(HARBOUR, "info@nordwind.test"), staff.row(HARBOUR, "info@nordwind.test")
    assert (for_admin.buttons, for_staff.buttons) == (["Resend Invite", "Remove"], [])
    assert for_staff.company_name == for_admin.company_name
    for browser, there in ((admin, True), (staff, False)):
        content = parse(browser.get(ic(HARBOUR))).select_one("main")
        seen = words(content)
        for name in ("Add Client", "Manual Add", "Bulk Invite", "Download CSV Template"):
            assert (name in seen) is there, name
        assert bool(content.select("form[method=post], [hx-post], [hx-delete]")) is there


def test_joined_clients_and_strangers_see_no_account(
    joined_client: Browser, stranger: Browser, nobody: Browser
) -> None:
    for path in (ALL, ic(HARBOUR), f"{ic(HARBOUR)}/table"):
        assert joined_client.get(path).status_code == 403
        assert stranger.get(path).status_code == 404
        assert nobody.get(path).status_code == 302


def test_an_account_s_name_is_never_markup(admin: Browser, app: Flask) -> None:
    with app.app_context():
        make_member(HARBOUR, "eve@harbour.test", "<script>alert(1)</script>", Role.STAFF)
    page = parse(admin.get(ALL))
    assert "<script>alert(1)</script>" in [words(cell) for cell in page.select("td[data-col=name]")]
    assert not [script for script in page.select("script") if not script.get("src")]
