"""Operators see the queue of webhooks in commands, figures and logs, and try deliveries again."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from app.core.clock import now
from app.db.transactions import transaction
from app.queue import sending
from app.webhooks.endpoints import add_endpoint
from app.webhooks.queue import Verdict
from tests.conftest import HARBOUR
from tests.integration.webhooks.conftest import NORDWIND
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.scripted_http import Reply
from tests.support.webhooks import Receiver, Webhooks

pytestmark = pytest.mark.usefixtures("app")


class TestOperators:
    def printed(self, app: Flask, *arguments: str) -> str:
        done = app.test_cli_runner().invoke(args=["webhooks", *arguments])
        assert (done.exit_code, done.stderr) == (0, "")
        return str(done.stdout)

    def test_see_the_queue_and_one_delivery_and_try_again(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        receiver.answer = lambda _event: Reply(500)
        webhooks.flush()
        webhooks.let_three_days_pass()
        webhooks.flush()
        assert re.search(r"given_up +\(all\) +1 +\d+ s\n +harbour +1 ", self.printed(app, "status"))
        name = receiver.events[0].id
        shown = self.printed(app, "show", name)
        assert re.search(r"state +given_up\n", shown)
        assert re.search(r"last answer +It answered 500\.\n", shown)
        assert NORDWIND not in shown
        assert "Nordwind" not in shown
        assert self.printed(app, "retry", name) == "1 queued again\n"
        assert self.printed(app, "retry", "--given-up", "--portal", HARBOUR) == "0 queued again\n"
        receiver.answer = lambda _event: Reply()
        webhooks.flush()
        assert webhooks.states() == ["delivered"]

    def test_are_told_what_cannot_be_done(self, app: Flask, app_driver: AppDriver, webhooks: Webhooks) -> None:
        with app.app_context():
            add_endpoint(HARBOUR, "https://203.0.114.1/", "", [])
        for arguments in (["show", "nonsense"], ["retry", str(uuid4())], ["retry", "--given-up", "--portal", "none"]):
            refused = app.test_cli_runner().invoke(args=["webhooks", *arguments])
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert len(refused.stderr.splitlines()) == 1

    def test_release_a_copy_whose_webhooks_wait(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        """Those that were due before a moment are given up, and sending goes on with what comes later."""
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        with app.app_context(), transaction() as session:
            sending.hold(session.connection(), since=None)
        webhooks.flush()
        assert receiver.events == []
        assert webhooks.states() == ["queued"]
        run = app.test_cli_runner().invoke
        listed = run(args=["outbox", "release"])
        assert listed.exit_code == 1
        assert re.search(r"\nclient\.invited +1 ", listed.stdout)
        tomorrow = f"{now() + timedelta(days=1):%Y-%m-%dT%H:%MZ}"
        assert run(args=["outbox", "release", "--yes", "--drop-before", tomorrow]).exit_code == 0
        webhooks.flush()
        # The dropped mail is told as one that was not delivered.
        assert receiver.types == ["client.delivery_failed"]
        assert webhooks.states() == ["given_up", "delivered"]

    def test_read_figures(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, admin: Browser
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        (held,) = webhooks.claim()
        app_driver.invite("b@client.test")
        webhooks.settle(held, Verdict.AWAY)
        figures = {
            (sample.name.removeprefix("imported_clients_webhook_"), sample.labels.get("state", "")): sample.value
            for family in text_string_to_metric_families(app.test_client().get("/metrics").text)
            for sample in family.samples
        }
        assert figures["deliveries", "queued"] == 2
        assert figures["endpoints_paused", ""] == 1
        assert figures["overdue_seconds", ""] == 0.0
        webhooks.end_pauses()
        assert webhooks.claim()

    def test_logs_hold_nothing_of_what_was_told(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        receiver.answer = lambda _event: Reply(500)
        webhooks.flush()
        assert "not delivered (attempt 1, refused)" in caplog.text
        assert receiver.events[0].id in caplog.text
        for secret in (NORDWIND, "Nordwind", receiver.url, receiver.secret):
            assert secret not in caplog.text
