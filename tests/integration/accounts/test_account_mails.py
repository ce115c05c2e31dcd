"""An address gets so many mails about its account, through the deployment's server only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from flask import Flask

from app.core.errors import TooManyRequests
from app.models import TlsMode
from app.outbox.server_settings import OwnServer, save_own_server
from app.registration.verification import send_verification_again
from tests.conftest import HARBOUR, Outbox
from tests.integration.accounts.nora import NORA, STRANGERS
from tests.support import smtp
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD, counted_as
from tests.support.smtp import MailServer
from tests.support.together import at_once

# How many mails an address gets


def register_again(app: Flask, app_driver: AppDriver) -> UUID:
    """Invite Nora, and register in her place."""
    client_id = app_driver.invite(NORA)
    assert Browser(app).post(app_driver.link(client_id), STRANGERS).status_code == 303
    return client_id


def sent(mail_server: MailServer, kind: str) -> int:
    return [mail.link.split("/")[3] for mail in mail_server.to(NORA)].count(kind)


@pytest.mark.both_databases
def test_of_many_verification_mails_that_are_asked_for_at_once_five_are_sent(
    app_driver: AppDriver, stranger: Browser
) -> None:
    def ask() -> int:
        try:
            app_driver.do(send_verification_again, app_driver.user(NORA).id)
        except TooManyRequests as refusal:
            return refusal.status
        return 200

    assert Counter(at_once([ask] * 12)) == {200: 5, 429: 7}
    assert app_driver.user(NORA).verification_generation == 6


def test_resets_are_limited_by_address_whatever_becomes_of_its_account(
    app: Flask, app_driver: AppDriver, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    for _ in range(3):
        client_id = register_again(app, app_driver)
        for _ in range(5):
            assert nobody.post("/password-reset", {"email": NORA}).status_code == 303
            outbox.flush()
        app_driver.remove(client_id)
    assert sent(mail_server, "password-reset") == 10


def test_the_notice_of_a_lock_is_limited_by_address_whatever_becomes_of_its_account(
    app: Flask, app_driver: AppDriver, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    def lock() -> None:
        with counted_as(app, 9):
            assert nobody.sign_in(NORA, PASSWORD).status_code == 422
        assert nobody.sign_in(NORA, PASSWORD).status_code == 422
        assert nobody.sign_in(NORA, PASSWORD).status_code == 429

    lock()  # before there is an account, nobody is told
    for _ in range(2):
        client_id = register_again(app, app_driver)
        lock()
        outbox.flush()
        app_driver.remove(client_id)
    assert sent(mail_server, "password-reset") == 1


def test_registering_counts_towards_the_verification_mails_of_the_address(
    app: Flask, app_driver: AppDriver, stranger: Browser
) -> None:
    assert stranger.sign_in(NORA, STRANGERS["password"]).status_code == 303
    assert [stranger.post("/verify-email").status_code for _ in range(6)] == [303] * 5 + [429]
    app_driver.remove(app_driver.client(NORA).id)
    link = app_driver.link(app_driver.invite(NORA))
    refused = Browser(app).post(link, {"name": "Nora Wind", "password": OTHER_PASSWORD})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 3601
    page = parse(refused)
    assert "please try again in 60 min." in words(page.select_one("[role=alert]"))
    assert page.select_one("[name=name]")["value"] == "Nora Wind"
    assert not app_driver.has_account(NORA)


# A portal's own mail server


def give_own_server(app: Flask, portal_id: str, server: MailServer) -> None:
    with app.app_context():
        save_own_server(portal_id, OwnServer("127.0.0.1", server.port, TlsMode.NONE, "tours@harbour.test"))


class TestWithAnOwnServer:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return environment | {"MAIL_ALLOWED_NETWORKS": "127.0.0.0/8"}

    @pytest.fixture
    def portals_server(self) -> Iterator[MailServer]:
        controller, handler = smtp.start()
        yield handler
        controller.stop(no_assert=True)

    def test_mails_about_accounts_go_through_the_deployment_s_server_only(
        self, app: Flask, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, portals_server: MailServer
    ) -> None:
        give_own_server(app, HARBOUR, portals_server)
        person = Browser(app)
        app_driver.invite(NORA)
        outbox.flush()
        assert person.post(portals_server.wait_for(NORA).link, STRANGERS).status_code == 303
        person.post("/password-reset", {"email": NORA})
        outbox.flush()
        assert [mail.recipient for mail in portals_server.mails] == [NORA]
        kinds = sorted(mail.link.split("/")[3] for mail in mail_server.to(NORA))
        assert kinds == ["password-reset", "verify-email"]
        assert any("Harbour Tours" in str(mail.message["Subject"]) for mail in mail_server.to(NORA))
        assert {mail.sender for mail in mail_server.mails} == {"no-reply@harbour.test"}

    def test_without_a_server_of_the_deployment_they_wait_and_the_portal_says_so(
        self,
        app: Flask,
        admin: Browser,
        app_driver: AppDriver,
        portals_server: MailServer,
        reconfigured: Callable[..., Flask],
    ) -> None:
        give_own_server(app, HARBOUR, portals_server)
        assert parse(admin.get(ic(HARBOUR))).select("#no-account-mails") == []
        bare = reconfigured(MAIL_SERVER=None, MAIL_PORT=None)
        at_bare = admin.twin(bare)
        for page in (ic(HARBOUR), f"/portals/{HARBOUR}/settings/email"):
            assert "MAIL_SERVER" in words(parse(at_bare.get(page)).select_one("#no-account-mails"))
        Browser(app).post(app_driver.link(app_driver.invite(NORA)), STRANGERS)
        Outbox(bare).flush()
        assert [mail.link.split("/")[3] for mail in portals_server.mails] == []
        Outbox(app).flush()
        assert app_driver.user(NORA).verification_expires_at is not None
