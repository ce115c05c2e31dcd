"""The memory of rendered tables: nobody sees what is out of date, or what is another's, and it does not grow."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import update

from app.clients import remembered
from app.clients.expiry import track_expiry
from app.clients.remembered import CSRF_MARK, MOST_TABLES, RememberedTables, RenderedTable, TableKey
from app.clients.view import Cursor, SortColumn, TableView
from app.clock import now
from app.database import transaction
from app.models import ClientEvent, ClientStatus, ImportedClient, Role
from app.outbox.errors import PermanentFailure
from app.portals.services import grant_role
from app.registration.services import accept, register
from app.registration.verification import Visitor, verify_email
from app.text import fold
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.backstage import Backstage
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import PASSWORD, import_file, make_user
from tests.support.smtp import MailServer

TABLE = f"{ic(HARBOUR)}/table"
NORD = "info@nordwind.test"


@pytest.fixture(autouse=True)
def _tables_are_always_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are remembered, for as long as no test on a busy machine takes."""
    monkeypatch.setattr(remembered, "LIFETIME_SECONDS", 600.0)


class Memory:
    """What a test knows of the memory of an application."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def settle(self) -> None:
        """Let all that has happened be a minute ago."""
        with self._app.app_context(), transaction() as session:
            session.execute(update(ClientEvent).values(at=now() - timedelta(minutes=1)))

    def __len__(self) -> int:
        return len(self._app.extensions["remembered_tables"])


@pytest.fixture
def memory(app: Flask) -> Memory:
    return Memory(app)


def change_behind_its_back(backstage: Backstage, client_id: UUID, company_name: str) -> None:
    """What nothing in the application does: no event tells of it."""

    def write() -> None:
        with transaction() as session:
            values = {"company_name": company_name, "company_name_folded": fold(company_name)}
            session.execute(update(ImportedClient).where(ImportedClient.id == client_id).values(values))

    backstage.do(write)


def shown(browser: Browser) -> str:
    """The table but for the tokens, which hold the time."""
    return re.sub(r'(?<=name="csrf_token" value=)"[^"]+"', "", browser.get(TABLE, htmx=True).text)


def names(browser: Browser, query: str = "") -> list[str]:
    return [row.company_name for row in browser.rows(HARBOUR, query)]


# What is remembered


def test_who_asks_again_gets_what_was_rendered_a_moment_ago(
    admin: Browser, backstage: Backstage, memory: Memory
) -> None:
    client_id = backstage.invite(NORD)
    memory.settle()
    first = shown(admin)
    change_behind_its_back(backstage, client_id, "Changed")
    assert shown(admin) == first
    assert "Changed" not in admin.get(ic(HARBOUR)).text
    assert len(memory) == 1


def test_a_table_is_remembered_for_no_more_than_its_time(
    admin: Browser, backstage: Backstage, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remembered.LIFETIME_SECONDS == 600.0  # the fixture's; what holds in production is below
    clock = [1000.0]
    monkeypatch.setattr("app.clients.remembered.monotonic", lambda: clock[0])
    monkeypatch.setattr("app.clients.tab.monotonic", lambda: clock[0])
    monkeypatch.setattr(remembered, "LIFETIME_SECONDS", 1.0)
    client_id = backstage.invite(NORD)
    memory.settle()
    before = names(admin)
    change_behind_its_back(backstage, client_id, "Changed")
    clock[0] += 0.999
    assert names(admin) == before
    clock[0] += 0.001
    assert names(admin) == ["Changed"]


def test_no_more_is_remembered_than_fits(admin: Browser, memory: Memory) -> None:
    for n in range(MOST_TABLES + 5):
        admin.get(f"{TABLE}?company_name=x{n}", htmx=True)
    assert len(memory) == MOST_TABLES


def test_the_oldest_is_forgotten_first() -> None:
    def key(n: int) -> TableKey:
        return TableKey(f"p{n}", TableView(), None, True, "en", "", "")

    tables = RememberedTables()
    table = RenderedTable("", "")
    for n in [*range(MOST_TABLES), 0]:
        tables.put(key(n), None, remembered.monotonic(), table)
    tables.put(key(MOST_TABLES), None, remembered.monotonic(), table)
    assert tables.get(key(0), None) is table
    assert tables.get(key(1), None) is None


def test_while_something_has_just_happened_nothing_is_remembered(
    admin: Browser, backstage: Backstage, memory: Memory
) -> None:
    """An event with a smaller number may still be on its way into the database."""
    client_id = backstage.invite(NORD)
    names(admin)
    change_behind_its_back(backstage, client_id, "Changed")
    assert names(admin) == ["Changed"]
    assert len(memory) == 0


# Freshness


def _resend(backstage: Backstage, client_id: UUID) -> None:
    backstage.resend(client_id)


def _remove(backstage: Backstage, client_id: UUID) -> None:
    backstage.remove(client_id)


def _add(backstage: Backstage, _client_id: UUID) -> None:
    backstage.invite("another@nordwind.test")


def _import(backstage: Backstage, _client_id: UUID) -> None:
    backstage.do(import_file, HARBOUR, "one@file.test", "two@file.test")


def _send(backstage: Backstage, _client_id: UUID) -> None:
    mails = backstage.claim()
    backstage.settle(mails[0])


def _refuse(backstage: Backstage, _client_id: UUID) -> None:
    mails = backstage.claim()
    backstage.settle(mails[0], PermanentFailure("550 no such mailbox"))


def _expire(backstage: Backstage, client_id: UUID) -> None:
    backstage.let_link_lapse(client_id, now() - timedelta(hours=1))
    backstage.do(track_expiry)


def _register(backstage: Backstage, client_id: UUID) -> None:
    backstage.do(register, backstage.link(client_id).rpartition("/")[2], "Nora Wind", PASSWORD)


def _accept(backstage: Backstage, client_id: UUID) -> None:
    user_id = backstage.do(make_user, NORD, "Nora Wind")
    backstage.do(accept, backstage.link(client_id).rpartition("/")[2], user_id)


@pytest.mark.parametrize("act", [_resend, _remove, _add, _import, _send, _refuse, _expire, _register, _accept])
def test_whatever_happens_is_seen_at_once_by_every_process(
    act: Callable[[Backstage, UUID], None],
    app: Flask,
    admin: Browser,
    staff: Browser,
    backstage: Backstage,
    memory: Memory,
    reconfigured: Callable[..., Flask],
) -> None:
    client_id = backstage.invite(NORD)
    memory.settle()
    elsewhere = admin.twin(reconfigured())
    browsers = (admin, staff, elsewhere)
    before = [shown(browser) for browser in browsers]
    assert [shown(browser) for browser in browsers] == before
    act(backstage, client_id)
    after = [shown(browser) for browser in browsers]
    assert all(old != new for old, new in zip(before, after, strict=True))
    memory.settle()
    assert [shown(browser) for browser in browsers] == after


def test_verifying_an_address_is_seen_at_once(
    admin: Browser, backstage: Backstage, memory: Memory, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = backstage.invite(NORD)
    _register(backstage, client_id)
    outbox.flush()
    (link,) = [mail.link for mail in mail_server.to(NORD) if "verif" in mail.link]
    memory.settle()
    assert admin.row(HARBOUR, NORD).status == ClientStatus.INVITE_SENT
    backstage.do(verify_email, link.rpartition("/")[2], Visitor(backstage.user(NORD).id))
    assert admin.row(HARBOUR, NORD).status == ClientStatus.JOINED


@pytest.mark.parametrize("htmx", [True, False])
def test_who_does_something_sees_it_in_the_next_table(
    htmx: bool, admin: Browser, memory: Memory, reconfigured: Callable[..., Flask]
) -> None:
    """By the very next request, whichever process answers it."""
    elsewhere = admin.twin(reconfigured())

    def seen() -> list[list[tuple[str, str]]]:
        return [[(row.company_name, row.email) for row in one.rows(HARBOUR)] for one in (admin, elsewhere)]

    def do(path: str, form: dict[str, str], expected: list[tuple[str, str]]) -> None:
        memory.settle()
        seen()
        assert admin.post(path, form, htmx=htmx).status_code == (200 if htmx else 303)
        assert seen() == [expected, expected]

    do(ic(HARBOUR), {"company_name": "Nord", "email": NORD}, [("Nord", NORD)])
    client_id = admin.row(HARBOUR, NORD).id
    one = f"{ic(HARBOUR)}/{client_id}"
    do(f"{one}/correct", {"company_name": "Süd", "email": "sued@client.test"}, [("Süd", "sued@client.test")])
    do(f"{one}/resend", {}, [("Süd", "sued@client.test")])
    do(f"{one}/remove", {}, [])


def test_204_is_answered_from_memory_too_and_only_while_it_is_true(
    admin: Browser, backstage: Backstage, memory: Memory
) -> None:
    client_id = backstage.invite(NORD)
    memory.settle()
    address = parse(admin.get(TABLE, htmx=True)).select_one("#imported-clients")["hx-get"]
    change_behind_its_back(backstage, client_id, "Changed")
    assert admin.get(address, htmx=True).status_code == 204
    backstage.invite("another@nordwind.test")
    changed = admin.get(address, htmx=True)
    assert changed.status_code == 200
    assert "Changed" in changed.text


# What is another's


def test_staff_never_get_what_was_rendered_for_an_admin(
    admin: Browser, staff: Browser, backstage: Backstage, memory: Memory
) -> None:
    backstage.invite(NORD)
    memory.settle()
    for first, second in ((admin, staff), (staff, admin)):
        for browser in (first, second, first):
            for path in (TABLE, ic(HARBOUR)):
                table = parse(browser.get(path)).select_one("#imported-clients")
                assert bool(table.select("form[method=post], [name=client_id]")) is (browser is admin)


def test_a_role_that_was_taken_away_takes_the_buttons_with_it(
    admin: Browser, backstage: Backstage, memory: Memory
) -> None:
    backstage.invite(NORD)
    memory.settle()
    assert admin.row(HARBOUR, NORD).buttons
    backstage.do(grant_role, HARBOUR, "ada@harbour.test", Role.STAFF)
    assert admin.row(HARBOUR, NORD).buttons == []


def test_a_portal_never_gets_what_was_rendered_for_another(
    admin: Browser, stranger: Browser, backstage: Backstage, memory: Memory
) -> None:
    backstage.invite(NORD)
    memory.settle()
    assert [row.email for row in admin.rows(HARBOUR)] == [NORD]
    assert stranger.rows(ALPINE) == []
    assert stranger.get(TABLE, htmx=True).status_code == 404


def test_each_session_gets_its_own_token_and_its_form_works(
    app: Flask, admin: Browser, backstage: Backstage, memory: Memory
) -> None:
    client_id = backstage.invite(NORD)
    memory.settle()
    again = Browser(app)
    again.sign_in("ada@harbour.test", PASSWORD)
    for number, browser in enumerate((admin, again, admin)):
        for path in (TABLE, ic(HARBOUR)):
            page = browser.get(path)
            assert CSRF_MARK not in page.text
            (form,) = parse(page).select("#imported-clients form[method=post]")
        typed = {field["name"]: field["value"] for field in form.select("input[name]")}
        assert browser.client.post(form["action"], data=typed).status_code == 303, number
        memory.settle()
    tokens = {parse(one.get(TABLE)).select_one("[name=csrf_token]")["value"] for one in (admin, again)}
    assert len(tokens) == 2
    assert backstage.client(NORD).id == client_id
    assert len(memory) == 1


def test_nobody_can_type_the_mark(admin: Browser, backstage: Backstage, memory: Memory) -> None:
    """Else the token would stand where others, or an address, show it."""
    assert admin.post(ic(HARBOUR), {"company_name": str(CSRF_MARK), "email": NORD}).status_code == 422
    # Even if it could be entered:
    client_id = backstage.invite(NORD)
    change_behind_its_back(backstage, client_id, str(CSRF_MARK))
    memory.settle()
    for query in ("", f"?company_name={CSRF_MARK}", f"?sort=company_name&company_name={CSRF_MARK}"):
        for _again in range(2):
            page = admin.get(f"{TABLE}{query}")
            (row,) = parse(page).select("tr[data-client-id]")
            assert words(row.select_one("[data-col=company_name]")) == CSRF_MARK
            assert page.text.count(admin.csrf_token()[:20]) == page.text.count('name="csrf_token"') == 1


def test_views_orders_pages_and_places_are_told_apart(admin: Browser, backstage: Backstage, memory: Memory) -> None:
    for n in range(30):
        backstage.invite(f"c{n}@many.test", f"Company {n:02}")
    memory.settle()
    everyone = names(admin)
    rest = parse(admin.get(TABLE)).select_one("#next-page")["href"].partition("?")[2]
    assert names(admin, f"?{rest}") == [f"Company {n:02}" for n in reversed(range(5))]
    assert names(admin, "?sort=company_name")[0] == "Company 00"
    assert names(admin, "?company_name=07") == ["Company 07"]
    assert len(names(admin, "?size=50")) == 30
    assert names(admin, "?status=joined") == []
    assert names(admin) == everyone
    assert len(memory) == 6


def test_a_place_is_part_of_the_key_though_views_do_not_compare_it() -> None:
    place = Cursor("a", UUID(int=1))
    here, there = (TableView(sort=SortColumn.EMAIL, cursor=cursor) for cursor in (place, Cursor("b", UUID(int=1))))
    assert here == there
    keys = {TableKey("p", view, view.cursor, True, "en", "", "") for view in (here, there)}
    assert len(keys) == 2


def test_below_another_path_the_addresses_are_those_of_that_path(
    backstage: Backstage, admin: Browser, memory: Memory, reconfigured: Callable[..., Flask]
) -> None:
    backstage.invite(NORD)
    memory.settle()
    proxied = admin.twin(reconfigured(TRUSTED_PROXIES="1"))
    for prefix in ("", "/below", ""):
        page = proxied.get(TABLE, htmx=True, headers={"X-Forwarded-Prefix": prefix} if prefix else {})
        table = parse(page).select_one("#imported-clients")
        assert table["hx-get"].startswith(f"{prefix}/portals/")
        assert table.select_one("use")["href"].startswith(f"{prefix}/static/")
