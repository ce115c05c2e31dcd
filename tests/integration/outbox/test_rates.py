"""A mail server with a rate limit gets no more mails a second than it takes."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest
from flask import Flask

from tests.conftest import ALPINE
from tests.integration.observability.test_metrics import growth
from tests.integration.outbox.own_servers import Flushing, invite_many, use
from tests.support.app_driver import AppDriver
from tests.support.databases import on_sqlite
from tests.support.processes import wait_until
from tests.support.smtp import MailServer

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app")]

QUICK = 10.0


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    # Where the test's own servers are.
    return environment | {"MAIL_ALLOWED_NETWORKS": "127.0.0.0/8", "OUTBOX_INTERVAL_SECONDS": "0.1"}


def test_a_server_gets_no_more_mails_a_second_than_it_takes(
    app_driver: AppDriver,
    alpines_server: MailServer,
    reconfigured: Callable[..., Flask],
) -> None:
    use(app_driver, ALPINE, alpines_server.port, per_second=10)
    emails = invite_many(app_driver, 18, ALPINE)
    flushes = [Flushing(reconfigured()), Flushing(reconfigured())]
    with flushes[0], flushes[1]:
        wait_until(lambda: len(alpines_server.mails) == len(emails), "all mails have arrived")
    times = sorted(mail.taken_at for mail in alpines_server.mails)
    # In no second more than ten, give or take the one at its edge and what a busy machine moves.
    for first, eleventh in zip(times, times[13:], strict=False):
        assert eleventh - first > 0.9


def test_mails_that_wait_behind_a_rate_for_longer_than_a_lease_are_kept(
    app_driver: AppDriver,
    alpines_server: MailServer,
    reconfigured: Callable[..., Flask],
) -> None:
    use(app_driver, ALPINE, alpines_server.port, per_second=4)
    emails = invite_many(app_driver, 20, ALPINE)
    app = reconfigured(OUTBOX_CONNECTIONS="12", QUEUE_LEASE_SECONDS="4")
    with growth(app, "mails_total", outcome="unwanted") as unwanted, Flushing(app):
        wait_until(lambda: len(alpines_server.mails) == len(emails), "all mails have arrived")
    assert unwanted == [0], "mails that waited were taken from it"
    assert {mail.attempts for mail in app_driver.mails()} == {1}


@on_sqlite
def test_a_rate_that_was_too_low_holds_up_nothing_once_it_is_corrected(
    app: Flask, app_driver: AppDriver, alpines_server: MailServer
) -> None:
    use(app_driver, ALPINE, alpines_server.port, per_second=0.001)
    emails = invite_many(app_driver, 6, ALPINE)
    with Flushing(app):
        wait_until(lambda: alpines_server.mails, "the first has its turn")
        use(app_driver, ALPINE, alpines_server.port, per_second=50)
        began = monotonic()
        wait_until(lambda: len(alpines_server.mails) == len(emails), "all mails have arrived")
    assert monotonic() - began < QUICK
