"""The job read-bounces: reports on our mails are read and deleted, all else stays unseen, and an outage is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from flask import Flask

from app.bounces.mailbox import mailbox_state, seconds_failing
from app.bounces.report import READ_BYTES
from app.jobs.schedule import run_job
from tests.conftest import HARBOUR
from tests.integration.bounces.conftest import INVITEE
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.imap import ImapServer
from tests.support.reports import VACATION, block, report, sample
from tests.support.smtp import Taken

LETTER = b"From: nora@nordwind.test\nTo: bounces@mail.harbour.test\nSubject: hello\n\nHow are you?\n"


@pytest.fixture(scope="module")
def _mailbox() -> Iterator[ImapServer]:
    with ImapServer() as server:
        yield server


@pytest.fixture
def mailbox(_mailbox: ImapServer) -> ImapServer:
    _mailbox.reset("reports", "p@ss/word 1")
    return _mailbox


@pytest.fixture
def url(mailbox: ImapServer) -> str:
    return f"imap://reports:p%40ss%2Fword%201@127.0.0.1:{mailbox.port}/INBOX"


@pytest.fixture
def environment(environment: dict[str, str], url: str) -> dict[str, str]:
    return environment | {"BOUNCE_MAILBOX_URL": url}


@pytest.fixture
def reading(app: Flask) -> Callable[[], None]:
    """Runs the job once."""

    def read() -> None:
        assert run_job(app, "read-bounces")

    return read


def bounce(taken: Taken) -> bytes:
    return sample("postfix-failed", taken.sender, INVITEE, taken.message["Message-ID"])


@pytest.mark.both_databases
def test_reports_are_read_and_deleted_and_all_else_stays_unseen(
    admin: Browser, mailbox: ImapServer, reading: Callable[[], None], taken: Taken
) -> None:
    vacation = VACATION.format(came_to=taken.sender, message_id=taken.message["Message-ID"]).encode()
    stays = [
        mailbox.deliver(LETTER),
        mailbox.deliver(vacation),
        mailbox.deliver(report(taken.sender.replace("+", "+x"), block(INVITEE))),
        mailbox.deliver(report("bounces@elsewhere.test", block("somebody@store.test"))),
    ]
    mailbox.deliver(bounce(taken))
    mailbox.deliver(bounce(taken))
    reading()
    assert admin.row(HARBOUR, INVITEE).delivery == "bounced"
    assert mailbox.unseen == list(mailbox.messages) == stays
    assert all(not one.flags for one in mailbox.messages.values())


@pytest.mark.both_databases
def test_each_message_is_looked_at_once(
    mailbox: ImapServer, reading: Callable[[], None], admin: Browser, taken: Taken
) -> None:
    mailbox.deliver(LETTER)
    reading()
    reading()
    assert mailbox.fetched() == [1]
    mailbox.deliver(bounce(taken))
    reading()
    assert mailbox.fetched() == [1, 2]
    assert admin.row(HARBOUR, INVITEE).delivery == "bounced"
    mailbox.validity += 1  # the server has numbered everything anew
    reading()
    assert mailbox.fetched() == [1, 2, 1]


def test_what_people_have_marked_is_not_expunged(
    mailbox: ImapServer, reading: Callable[[], None], taken: Taken
) -> None:
    marked = mailbox.deliver(LETTER)
    mailbox.messages[marked].flags.add("\\Deleted")
    mailbox.deliver(bounce(taken))
    reading()
    assert list(mailbox.messages) == [marked]


def test_a_server_without_uidplus_is_understood(mailbox: ImapServer, reading: Callable[[], None], taken: Taken) -> None:
    mailbox.has_uid_plus = False
    stays = mailbox.deliver(LETTER)
    mailbox.deliver(bounce(taken))
    reading()
    assert list(mailbox.messages) == [stays]


def test_of_a_large_message_only_the_beginning_is_fetched(
    admin: Browser, mailbox: ImapServer, reading: Callable[[], None], taken: Taken
) -> None:
    mailbox.deliver(bounce(taken) + b"x" * 2 * READ_BYTES)
    reading()
    assert admin.row(HARBOUR, INVITEE).delivery == "bounced"


def test_a_password_in_any_letters_signs_in(reconfigured: Callable[..., Flask], mailbox: ImapServer) -> None:
    mailbox.password = "grüße"
    app = reconfigured(BOUNCE_MAILBOX_URL=f"imap://reports:gr%C3%BC%C3%9Fe@127.0.0.1:{mailbox.port}/INBOX")
    assert run_job(app, "read-bounces")
    assert AppDriver(app).do(mailbox_state).reason is None


@pytest.mark.parametrize(
    "database_url, trouble",
    [*(("sqlite", trouble) for trouble in ("away", "refused", "folder", "not encrypted")), ("postgresql", "refused")],
    indirect=["database_url"],
)
def test_a_mailbox_that_cannot_be_read_is_told_and_the_job_goes_on(
    reconfigured: Callable[..., Flask],
    mailbox: ImapServer,
    url: str,
    admin: Browser,
    caplog: pytest.LogCaptureFixture,
    taken: Taken,
    trouble: str,
) -> None:
    mailbox.deliver(bounce(taken))
    mailbox.refuses = "no such user" if trouble == "refused" else None
    changed = {"away": url.replace(str(mailbox.port), "1"), "folder": url + "x", "not encrypted": "imaps" + url[4:]}
    app = reconfigured(BOUNCE_MAILBOX_URL=changed.get(trouble, url))
    driver = AppDriver(app)
    for _time in range(2):
        assert run_job(app, "read-bounces")
    state = driver.do(mailbox_state)
    assert state.failing_since is not None
    assert state.reason
    assert len([one for one in caplog.records if "bounce mailbox" in one.getMessage()]) == 1
    assert "p@ss" not in caplog.text + state.reason
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=10)):
        assert driver.do(seconds_failing) > 590
    if trouble in {"refused"}:
        mailbox.refuses = None
        assert run_job(app, "read-bounces")
        state = driver.do(mailbox_state)
        assert (state.failing_since, state.reason) == (None, None)
        assert state.read_at is not None
        assert driver.do(seconds_failing) == 0
        assert admin.row(HARBOUR, INVITEE).delivery == "bounced"


def test_without_a_mailbox_the_job_does_nothing(
    reconfigured: Callable[..., Flask], app_driver: AppDriver, client_id: UUID
) -> None:
    app = reconfigured(BOUNCE_MAILBOX_URL=None)
    before = app_driver.dump()
    assert run_job(app, "read-bounces")
    assert app_driver.dump() == before
    assert AppDriver(app).do(seconds_failing) == 0
