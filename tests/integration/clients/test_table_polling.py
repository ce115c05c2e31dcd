"""An open page is answered the table when that shows something else, and 204, nearly for nothing, when not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
import time_machine
from flask import Flask, template_rendered
from sqlalchemy import update

from app.clients.list_params import Health, TableView, read_view
from app.clients.polling import HOLDS_SECONDS
from app.core.clock import now
from app.core.text import fold
from app.db.transactions import transaction
from app.models import ImportedClient, Role
from app.outbox.errors import TransientFailure
from app.portals.service import grant_role
from tests.conftest import ALPINE, HARBOUR
from tests.integration.clients.open_page import NORD, OpenPage, sent, settle
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse
from tests.support.factories import PASSWORD, import_file, make_member

TABLE = f"{ic(HARBOUR)}/table"


def change_behind_its_back(app_driver: AppDriver, client_id: UUID, company_name: str) -> None:
    """What nothing in the application does: no event tells of it."""

    def write() -> None:
        with transaction() as session:
            values = {"company_name": company_name, "company_name_folded": fold(company_name)}
            session.execute(update(ImportedClient).where(ImportedClient.id == client_id).values(values))

    app_driver.do(write)


@pytest.fixture
def rendered(app: Flask) -> Iterator[list[str]]:
    """The names of all templates that were rendered, as it goes on."""
    names: list[str] = []

    def note(_sender: Flask, *, template: object, **_rest: object) -> None:
        names.append(str(getattr(template, "name", "")))

    with template_rendered.connected_to(note, app):
        yield names


# What costs next to nothing


@pytest.mark.both_databases
def test_where_nothing_has_happened_nothing_is_rendered(
    admin: Browser, app_driver: AppDriver, rendered: list[str]
) -> None:
    sent(app_driver)
    page = OpenPage(admin)
    rendered.clear()
    assert page.ask() == 204
    assert rendered == []


@pytest.mark.both_databases
@pytest.mark.parametrize("why", ["just after an event", "with many mails on their way"])
def test_where_there_is_no_revision_what_the_table_shows_is_compared(
    why: str, admin: Browser, app_driver: AppDriver, rendered: list[str]
) -> None:
    """An older event may still be committed; of so many mails, one may be taken up unseen."""
    client_id = app_driver.invite("a@first.test")
    if why == "with many mails on their way":
        app_driver.do(import_file, HARBOUR, *(f"c{n}@many.test" for n in range(200)))
        settle(app_driver)
    page = OpenPage(admin, "?sort=email")
    rendered.clear()
    assert page.ask() == 204
    assert "clients/_table.html" in rendered
    change_behind_its_back(app_driver, client_id, "Changed")
    assert page.ask() == 200
    assert page.names[0] == "Changed"


@pytest.mark.both_databases
def test_a_mail_that_is_tried_again_is_seen_without_an_event(
    admin: Browser, app_driver: AppDriver, rendered: list[str]
) -> None:
    app_driver.invite(NORD)
    settle(app_driver)
    page = OpenPage(admin)
    rendered.clear()
    assert page.ask() == 204
    assert rendered == []
    mails = app_driver.claim()
    app_driver.settle(mails[0], TransientFailure("451 too busy"))
    assert page.ask() == 200
    assert "451 too busy" in page.table.get_text()
    assert page.ask() == 204


def test_a_table_is_sent_anew_after_its_time(admin: Browser, app_driver: AppDriver) -> None:
    """So that "5 minutes ago" goes on, and nothing that was missed stays unseen."""
    client_id = sent(app_driver)
    with time_machine.travel(now(), tick=False) as clock:
        page = OpenPage(admin)
        change_behind_its_back(app_driver, client_id, "Changed")
        clock.shift(HOLDS_SECONDS - 1)
        assert page.ask() == 204
        clock.shift(1)
        assert page.ask() == 200
        assert page.names == ["Changed"]
        assert page.ask() == 204


def test_what_is_no_fingerprint_gets_the_table(admin: Browser, app_driver: AppDriver) -> None:
    sent(app_driver)
    revision = OpenPage(admin).seen.split(".")[1]
    assert revision
    made_up = (f"{'9' * 5000}.{revision}.x", f"-1.{revision}.x", f"²³.{revision}.x", revision)
    for seen in ("", ".", "..", "x.y.z", *made_up):
        assert admin.get(TABLE, query_string={"seen": seen}, htmx=True).status_code == 200, seen


# Nobody gets another's table


def test_a_role_that_was_taken_away_takes_the_buttons_with_it(admin: Browser, app_driver: AppDriver) -> None:
    sent(app_driver)
    page = OpenPage(admin)
    assert page.table.select("form[method=post], [name=client_id]")
    app_driver.do(grant_role, HARBOUR, "ada@harbour.test", Role.STAFF)
    assert page.ask() == 200
    assert not page.table.select("form[method=post], [name=client_id]")


def test_a_fingerprint_is_good_for_the_one_who_got_it(app: Flask, admin: Browser, app_driver: AppDriver) -> None:
    sent(app_driver)
    app_driver.do(make_member, HARBOUR, "eve@harbour.test", "Eve Berg", Role.CLIENT_ADMIN)
    other = Browser(app)
    other.sign_in("eve@harbour.test", PASSWORD)
    page = OpenPage(admin)
    assert admin.get(page.address, htmx=True).status_code == 204
    assert other.get(page.address, htmx=True).status_code == 200


def test_a_portal_is_never_seen_by_another(admin: Browser, stranger: Browser, app_driver: AppDriver) -> None:
    sent(app_driver)
    page = OpenPage(admin)
    assert stranger.rows(ALPINE) == []
    assert stranger.get(page.address, htmx=True).status_code == 404


def test_each_session_gets_its_own_token_and_its_form_works(app: Flask, admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite(NORD)
    again = Browser(app)
    again.sign_in("ada@harbour.test", PASSWORD)
    tokens = set()
    for browser in (admin, again):
        (form,) = parse(browser.get(TABLE)).select("#imported-clients form[method=post]")
        typed = {field["name"]: field["value"] for field in form.select("input[name]")}
        tokens.add(typed["csrf_token"])
        app_driver.let_presses_pass()
        assert browser.client.post(form["action"], data=typed).status_code == 303
    assert len(tokens) == 2


def test_below_another_path_the_addresses_are_those_of_that_path(
    app_driver: AppDriver, admin: Browser, reconfigured: Callable[..., Flask]
) -> None:
    app_driver.invite(NORD)
    proxied = admin.twin(reconfigured(TRUSTED_PROXIES="1"))
    for prefix in ("", "/below", ""):
        page = proxied.get(TABLE, htmx=True, headers={"X-Forwarded-Prefix": prefix} if prefix else {})
        table = parse(page).select_one("#imported-clients")
        assert table["hx-get"].startswith(f"{prefix}/portals/")
        assert table.select_one("use")["href"].startswith(f"{prefix}/static/")
        assert table.select_one(".row-link")["href"].startswith(f"{prefix}/portals/")


# Who asks


def test_who_asks_goes_with_the_view_wherever_it_leads_and_stands_in_no_address() -> None:
    view = read_view({"health": ["failed"], "size": ["50"], "asker_id": ["2"]}, 1)
    views = [
        view,
        view.only(health="expired"),
        view.only(status="joined"),
        view.without("health"),
        view.sized(100),
        view.sorted_by("email"),
    ]
    assert {one.asker_id for one in views} == {1}
    assert {name for one in views for name in one.query()} == {"health", "status", "size", "sort"}
    assert view != read_view({"health": ["failed"], "size": ["50"]}, 2)
    assert TableView(asker_id=1).only(health="failed") == TableView(health=Health.FAILED, asker_id=1)
