"""Which mails carry the bounce address: all through the deployment's server, and a portal's own if it says so."""

from __future__ import annotations

import pytest
from flask import Flask

from app.models import MailKind
from app.outbox.bounce_address import read_token, tokens_in
from app.registration.password_reset import request_reset
from tests.conftest import HARBOUR, Outbox
from tests.integration.bounces.conftest import BOUNCES, INVITEE
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse
from tests.support.factories import PASSWORD
from tests.support.smtp import MailServer, Taken

EMAIL = f"/portals/{HARBOUR}/settings/email"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"MAIL_ALLOWED_NETWORKS": "127.0.0.0/8"}


def own_server(port: int, **more: str) -> dict[str, object]:
    typed = {"server": "own", "host": "127.0.0.1", "port": port, "tls": "none", "sender_name": "Harbour Tours"}
    return {**typed, "sender_address": "tours@harbour.test", **more}


def test_each_mail_of_the_deployments_server_has_its_own(
    app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, taken: Taken
) -> None:
    app_driver.do(request_reset, "ada@harbour.test", "203.0.113.7")
    outbox.flush()
    reset = mail_server.wait_for("ada@harbour.test")
    assert taken.sender != reset.sender
    for mail, kind in ((taken, MailKind.INVITATION), (reset, MailKind.PASSWORD_RESET)):
        local, _, domain = mail.sender.partition("@")
        assert (local.partition("+")[0], domain) == tuple(BOUNCES.split("@"))
        assert len(local) <= 64
        (token,) = tokens_in(mail.sender, BOUNCES)
        mail_id = app_driver.do(read_token, token)
        assert [one.kind for one in app_driver.mails() if one.id == mail_id] == [kind]
        assert mail.message["From"] == "Imported Clients <no-reply@harbour.test>"


def test_a_portals_own_server_gets_it_only_if_the_settings_say_so(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    assert admin.post(EMAIL, own_server(mail_server.port)).status_code == 303
    app_driver.invite(INVITEE)
    outbox.flush()
    assert mail_server.wait_for(INVITEE).sender == "tours@harbour.test"

    assert admin.post(EMAIL, own_server(mail_server.port, uses_bounce_address="y")).status_code == 303
    assert parse(admin.get(EMAIL)).select_one("input[name=uses_bounce_address]").has_attr("checked")
    app_driver.invite("second@nordwind.test")
    outbox.flush()
    second = mail_server.wait_for("second@nordwind.test")
    assert second.sender.startswith("bounces+")
    assert second.message["From"] == "Harbour Tours <tours@harbour.test>"
    # The test mail tries what the invitations will do.
    assert admin.post(f"{EMAIL}/test").status_code == 200
    assert mail_server.wait_for("ada@harbour.test").sender.startswith("bounces+")


def test_without_the_setting_the_envelope_names_the_sender(reconfigured: object, mail_server: MailServer) -> None:
    app: Flask = reconfigured(MAIL_BOUNCE_ADDRESS=None)  # type: ignore[operator]
    AppDriver(app).invite(INVITEE)
    Outbox(app).flush()
    assert mail_server.wait_for(INVITEE).sender == "no-reply@harbour.test"
    browser = Browser(app)
    browser.sign_in("ada@harbour.test", PASSWORD)
    assert "uses_bounce_address" not in browser.get(EMAIL).text
