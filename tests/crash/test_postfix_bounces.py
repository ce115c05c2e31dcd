"""The whole way with a real Postfix as smarthost: it takes every invitation, and returns those that nobody wants."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic, sleep
from uuid import UUID

import pytest
from flask import Flask

from app.invitations.reminders import send_reminders
from app.models import MailKind
from tests.conftest import HARBOUR, Outbox
from tests.support import postfix
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.postfix import Postfix
from tests.support.smtp import MailServer

pytestmark = pytest.mark.skipif(postfix.WHY_NOT is not None, reason=str(postfix.WHY_NOT))

DOMAIN = "mail.harbour.test"
GOOD = [f"good{n}@nordwind.test" for n in range(15)]
BAD = [f"bad{n}@nordwind.test" for n in range(5)]
SECONDS = 30


@pytest.fixture
def smarthost(mail_server: MailServer) -> Iterator[Postfix]:
    """The mail servers of the recipients are behind it: the one of our tests, which refuses some."""
    for email in BAD:
        mail_server.refuse[email] = f"550 5.1.1 <{email}>: no mailbox of that name"
    with postfix.running(DOMAIN, "bounces", mail_server.port) as running:
        yield running


@pytest.fixture
def environment(environment: dict[str, str], smarthost: Postfix) -> dict[str, str]:
    return environment | {"MAIL_PORT": str(smarthost.port), "MAIL_BOUNCE_ADDRESS": f"bounces@{DOMAIN}"}


def test_what_comes_back_is_told_on_exactly_its_rows_and_is_cured(
    app: Flask,
    admin: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    smarthost: Postfix,
) -> None:
    ids = {email: app_driver.invite(email) for email in [*GOOD, *BAD]}
    outbox.flush()
    began = monotonic()
    bounced = list[str]()
    while len(bounced) < len(BAD):
        assert monotonic() - began < SECONDS, smarthost.log
        sleep(0.1)
        for message in smarthost.reports():
            assert app.test_cli_runner().invoke(args=["bounces", "ingest"], input=message).exit_code == 0
        bounced = [row.email for row in admin.rows(HARBOUR, "?size=50") if row.delivery == "bounced"]
    assert sorted(bounced) == BAD
    for row in admin.rows(HARBOUR, "?size=50"):
        if row.email in BAD:
            assert f"550 5.1.1 <{row.email}>: no mailbox of that name" in row.health
        else:
            assert row.delivery == "sent"
    for email in GOOD:
        mail_server.wait_for(email)

    app_driver.change_portal(sends_reminders=True)
    for client_id in ids.values():
        app_driver.let_link_lapse(client_id, datetime.now(UTC) + timedelta(days=1))
    assert app_driver.do(send_reminders, Event()) == len(GOOD)
    reminded = {mail.recipient for mail in app_driver.mails() if mail.kind is MailKind.REMINDER}
    assert reminded == set(GOOD)

    cure(admin, ids[BAD[0]])
    outbox.flush()
    assert mail_server.wait_for("cured@nordwind.test").sender.startswith("bounces+")
    assert admin.row(HARBOUR, "cured@nordwind.test").delivery == "sent"


def cure(admin: Browser, client_id: UUID) -> None:
    fields = {"company_name": "Nordwind Reisen", "email": "cured@nordwind.test"}
    assert admin.post(f"{ic(HARBOUR)}/{client_id}/correct", fields).status_code == 303
