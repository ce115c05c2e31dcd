"""A bounce beside its row: webhooks, imports, operators' commands, and what of the report is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from flask import Flask

from app.imports.progress import find_import
from app.jobs.schedule import run_job
from app.models import EventKind, MailState
from tests.conftest import HARBOUR, Outbox
from tests.integration.bounces.conftest import INVITEE, REPLY, Mailman, bounce, details
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.factories import import_file
from tests.support.reports import block, report
from tests.support.smtp import MailServer, Taken
from tests.support.webhooks import Receiver, Webhooks

DAY = timedelta(days=1)


@pytest.mark.both_databases
def test_the_webhook_tells_it(
    app_driver: AppDriver,
    webhooks: Webhooks,
    receiver: Receiver,
    mailman: Mailman,
    outbox: Outbox,
    mail_server: MailServer,
) -> None:
    webhooks.add(receiver)
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    for _time in range(2):
        mailman.bring(bounce(mail_server.wait_for(INVITEE)))
    webhooks.flush()
    ids = {"portal_id": HARBOUR, "client_id": str(client_id), "invitation": 1}
    assert [(one.type, one.data) for one in receiver.events[1:]] == [
        ("client.delivery_failed", {**ids, "reason": REPLY})
    ]


@pytest.mark.both_databases
def test_the_import_counts_it_as_not_delivered(
    app_driver: AppDriver, outbox: Outbox, mailman: Mailman, mail_server: MailServer
) -> None:
    import_id = UUID(app_driver.do(import_file, HARBOUR, INVITEE, "fine@nordwind.test"))
    outbox.flush()
    mailman.bring(bounce(mail_server.wait_for(INVITEE)))
    progress = app_driver.do(find_import, HARBOUR, import_id)
    assert (progress.sent, progress.failed, progress.waiting) == (1, 1, 0)


def test_an_operator_cannot_send_it_again_with_its_old_link(
    app: Flask, app_driver: AppDriver, mailman: Mailman, taken: Taken
) -> None:
    mailman.bring(bounce(taken))
    mail_id = str(app_driver.mail(INVITEE).id)
    runner = app.test_cli_runner()
    assert "bounced" in runner.invoke(args=["outbox", "show", mail_id]).stdout
    assert "bounced" in runner.invoke(args=["outbox", "status"]).stdout
    refused = runner.invoke(args=["outbox", "retry", mail_id])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "it is bounced" in refused.stderr
    assert app_driver.mail(INVITEE).state is MailState.BOUNCED


@pytest.mark.both_databases
def test_it_is_not_pruned(app: Flask, app_driver: AppDriver, mailman: Mailman, taken: Taken) -> None:
    mailman.bring(bounce(taken))
    with time_machine.travel(datetime.now(UTC) + 100 * DAY):
        run_job(app, "prune")
    assert app_driver.mail(INVITEE).state is MailState.BOUNCED


def test_no_part_of_the_report_is_kept_but_the_servers_words(
    admin: Browser, app_driver: AppDriver, mailman: Mailman, taken: Taken, client_id: UUID
) -> None:
    token = taken.link.rpartition("/")[2]
    quoting = f"Diagnostic-Code: smtp; 550 5.7.1 link {taken.link} of {token.upper()} to <{taken.sender}> disliked "
    mailman.bring(
        report(taken.sender, block(INVITEE, "failed", "5.7.1", quoting + "x" * 900), prose=f"See {taken.link}")
    )
    (told,) = details(app_driver, EventKind.MAIL_BOUNCED)
    assert told is not None
    assert told.startswith("550 5.7.1 link ")
    assert len(told) <= 500
    for page in (app_driver.dump(), admin.get(f"{ic(HARBOUR)}/{client_id}/history").text):
        for secret in (token.rpartition(".")[2], taken.sender.partition("+")[2].partition("@")[0]):
            assert secret.lower() not in page.lower()
