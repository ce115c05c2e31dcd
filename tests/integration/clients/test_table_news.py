"""An open page sees at once whatever happens, and asks as long as something can change by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import update

from app.clients.expiry import track_expiry
from app.core.clock import now
from app.db.transactions import transaction
from app.models import ClientStatus, ImportedClient, MailState, OutboxMail
from app.outbox.errors import PermanentFailure, ServerMisconfigured
from app.outbox.routing import DEPLOYMENT, pause
from app.registration.service import accept, register
from app.registration.verification import Visitor, verify_email
from tests.conftest import HARBOUR, Outbox
from tests.integration.clients.open_page import NORD, OpenPage, sent, settle
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.databases import on_sqlite
from tests.support.factories import PASSWORD, import_file, make_user
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases


# What happens is seen


def _resend(app_driver: AppDriver, client: ImportedClient) -> None:
    app_driver.resend(client.id)


def _remove(app_driver: AppDriver, client: ImportedClient) -> None:
    app_driver.remove(client.id)


def _add(app_driver: AppDriver, _client: ImportedClient) -> None:
    app_driver.invite("another@nordwind.test")


def _import(app_driver: AppDriver, _client: ImportedClient) -> None:
    app_driver.do(import_file, HARBOUR, "one@file.test", "two@file.test")


def _expire(app_driver: AppDriver, client: ImportedClient) -> None:
    app_driver.let_link_lapse(client.id, now() - timedelta(hours=1))
    app_driver.do(track_expiry)


def _register(app_driver: AppDriver, client: ImportedClient) -> None:
    app_driver.do(register, app_driver.link(client.id).rpartition("/")[2], "Nora Wind", PASSWORD)


def _accept(app_driver: AppDriver, client: ImportedClient) -> None:
    user_id = app_driver.do(make_user, client.email, "Nora Wind")
    app_driver.do(accept, app_driver.link(client.id).rpartition("/")[2], user_id)


def _find_fault(app_driver: AppDriver) -> None:
    def write() -> None:
        with transaction() as session:
            session.execute(update(OutboxMail).values(state=MailState.SENT))
            pause(DEPLOYMENT, ServerMisconfigured("The password is wrong."))

    app_driver.do(write)


def test_whatever_happens_is_seen_at_once_by_every_page(
    admin: Browser, staff: Browser, app_driver: AppDriver, reconfigured: Callable[..., Flask]
) -> None:
    browsers = (admin, staff, admin.twin(reconfigured()))
    for act in (_resend, _remove, _add, _import, _expire, _register, _accept):
        email = f"{act.__name__}@nordwind.test"
        sent(app_driver, email)
        pages = [OpenPage(browser) for browser in browsers]
        assert [page.ask() for page in pages] == [204, 204, 204], act
        act(app_driver, app_driver.client(email))
        assert [page.ask() for page in pages] == [200, 200, 200], act
        # However long ago it was.
        settle(app_driver)
        assert {page.ask() for page in pages} <= {200, 204}, act
        assert [page.ask() for page in pages] == [204, 204, 204], act


@pytest.mark.parametrize("error", [None, PermanentFailure("550 no such mailbox")])
def test_what_becomes_of_a_mail_is_seen_at_once(
    admin: Browser, app_driver: AppDriver, error: PermanentFailure | None
) -> None:
    app_driver.invite(NORD)
    settle(app_driver)
    page = OpenPage(admin)
    mails = app_driver.claim()
    assert page.ask() == 200
    assert page.table.select("tr[data-delivery=sending]")
    app_driver.settle(mails[0], error)
    assert page.ask() == 200
    assert page.table.select(f"tr[data-delivery={'failed' if error else 'sent'}]")


@on_sqlite
def test_verifying_an_address_is_seen_at_once(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.invite(NORD)
    _register(app_driver, app_driver.client(NORD))
    outbox.flush()
    (link,) = [mail.link for mail in mail_server.to(NORD) if "verif" in mail.link]
    settle(app_driver)
    page = OpenPage(admin)
    assert page.ask() == 204
    app_driver.do(verify_email, link.rpartition("/")[2], Visitor(app_driver.user(NORD).id))
    assert page.ask() == 200
    assert page.table.select("tr[data-status=joined]")


@on_sqlite
def test_a_pause_of_the_mail_server_is_seen_at_once(
    admin: Browser, app_driver: AppDriver, reconfigured: Callable[..., Flask]
) -> None:
    sent(app_driver)
    page = OpenPage(admin.twin(reconfigured(MAIL_SERVER="localhost", MAIL_DEFAULT_SENDER="a@b.test")))
    assert page.ask() == 204
    _find_fault(app_driver)
    assert page.ask() == 200
    assert page.table.select("#mail-pause")


@pytest.mark.parametrize("expires", [timedelta(seconds=30), timedelta(hours=48, seconds=30)])
def test_time_alone_changes_a_table(admin: Browser, app_driver: AppDriver, expires: timedelta) -> None:
    """A link that expires, or that will within two days."""
    client_id = sent(app_driver)
    sent(app_driver, "other@client.test")
    at = now().replace(microsecond=0)
    app_driver.let_link_lapse(client_id, at + expires)
    with time_machine.travel(at, tick=False) as clock:
        page = OpenPage(admin)
        before = _attention(page)
        clock.shift(29)
        assert page.ask() == 204
        clock.shift(1)
        assert page.ask() == 200
        assert (_attention(page), before) in {(1, 1), (1, 0)}


def _attention(page: OpenPage) -> int:
    return int(page.table.select_one("[data-filter-tab=attention] .number").get_text())


@on_sqlite
def test_who_does_something_sees_it_in_the_next_table(
    admin: Browser, app_driver: AppDriver, reconfigured: Callable[..., Flask]
) -> None:
    """By the very next request, whichever process answers it."""
    browsers = (admin, admin.twin(reconfigured()))
    assert admin.post(ic(HARBOUR), {"company_name": "Nord", "email": NORD}, htmx=True).status_code == 200
    assert [[row.email for row in browser.rows(HARBOUR)] for browser in browsers] == [[NORD], [NORD]]
    one = f"{ic(HARBOUR)}/{admin.row(HARBOUR, NORD).id}"
    assert admin.post(f"{one}/remove", {}).status_code == 303
    assert [browser.rows(HARBOUR) for browser in browsers] == [[], []]


# When a page asks


def test_a_page_asks_while_something_that_it_shows_can_change_by_itself(admin: Browser, app_driver: AppDriver) -> None:
    sent(app_driver)
    mail_id = app_driver.mail(NORD).id
    for query, state, unknown_outcomes, is_live in (
        ("", MailState.QUEUED, 0, True),
        ("", MailState.FAILED, 0, False),
        # It may have arrived, so somebody can still accept.
        ("", MailState.FAILED, 1, True),
        # On another page; its number stands above this one.
        ("?status=joined", MailState.QUEUED, 0, True),
        ("?status=joined", MailState.SENT, 0, False),
    ):
        app_driver.change_mail(mail_id, state=state, unknown_outcomes=unknown_outcomes)
        assert OpenPage(admin, query).table.has_attr("data-live") is is_live, (query, state, unknown_outcomes)


def test_a_page_does_not_ask_when_the_last_link_has_expired_or_all_have_joined(
    admin: Browser, app_driver: AppDriver
) -> None:
    client_id = sent(app_driver)
    assert OpenPage(admin).table.has_attr("data-live")
    app_driver.let_link_lapse(client_id, now() - timedelta(days=1))
    assert not OpenPage(admin).table.has_attr("data-live")
    app_driver.resend(client_id)
    user_id = app_driver.do(make_user, NORD, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id, 2).rpartition("/")[2], user_id)
    assert app_driver.client(NORD).status is ClientStatus.JOINED
    assert not OpenPage(admin).table.has_attr("data-live")
