"""A refusal that is the server's pauses it and fails no mail. One that is the recipient's fails only that mail."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.models import MailState
from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse
from tests.support.factories import import_file
from tests.support.smtp import MailServer

ON_BOTH = pytest.mark.both_databases
"""Each statement about faults runs on both databases; which faults are whose is decided by us."""

DENIED = "554 5.7.1 Relay access denied"


def invite(app_driver: AppDriver, *emails: str) -> None:
    app_driver.do(import_file, HARBOUR, *emails)


def states(app_driver: AppDriver) -> dict[str, MailState]:
    return {mail.recipient: mail.state for mail in app_driver.mails()}


def rounds(app_driver: AppDriver, outbox: Outbox, most: int) -> None:
    """Let all pauses pass, so often, or until nothing waits any more."""
    for _ in range(most):
        outbox.flush()
        if MailState.QUEUED not in states(app_driver).values():
            return
        app_driver.make_due()


PEOPLE = [f"p{n}@client{n % 3}.test" for n in range(30)]


class TestOfTheServer:
    @ON_BOTH
    def test_nothing_is_held_against_the_mails(
        self, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        mail_server.refuse = dict.fromkeys(PEOPLE, DENIED)
        invite(app_driver, *PEOPLE)
        rounds(app_driver, outbox, 8)
        outbox.flush()
        assert set(states(app_driver).values()) == {MailState.QUEUED}
        assert {mail.attempts for mail in app_driver.mails()} == {0}
        page = admin.get(ic(HARBOUR))
        assert DENIED in page.text
        assert 'id="mail-pause"' in page.text

        mail_server.refuse = {}
        app_driver.end_server_pauses()
        outbox.flush()
        outbox.flush()
        assert set(states(app_driver).values()) == {MailState.SENT}
        assert len(mail_server.mails) == len(PEOPLE)
        assert 'id="mail-pause"' not in admin.get(ic(HARBOUR)).text

    def test_one_pause_and_not_one_for_each_mail(
        self, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        mail_server.refuse = dict.fromkeys(PEOPLE, DENIED)
        invite(app_driver, *PEOPLE)
        outbox.flush()
        outbox.flush()
        outbox.flush()
        refused = [mail for mail in app_driver.mails() if mail.refusals]
        assert 2 <= len(refused) <= 6  # at most one for each connection, and the next recipient

    @ON_BOTH
    def test_a_test_mail_that_is_taken_makes_all_due_at_once(
        self, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        mail_server.refuse = dict.fromkeys(PEOPLE, DENIED)
        invite(app_driver, *PEOPLE)
        outbox.flush()
        outbox.flush()
        mail_server.refuse = {}

        assert "The mail server accepted the test email." in admin.post(f"/portals/{HARBOUR}/settings/email/test").text
        outbox.flush()
        assert set(states(app_driver).values()) == {MailState.SENT}

    @ON_BOTH
    def test_saved_settings_make_all_due_at_once_also_for_the_deployments_server(
        self, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        mail_server.refuse = dict.fromkeys(PEOPLE, DENIED)
        invite(app_driver, *PEOPLE)
        outbox.flush()
        outbox.flush()
        mail_server.refuse = {}

        saved = admin.post(f"/portals/{HARBOUR}/settings/email", {"server": "deployment"})
        assert saved.status_code == 303
        outbox.flush()
        assert set(states(app_driver).values()) == {MailState.SENT}
        assert len(mail_server.mails) == len(PEOPLE)

    def test_five_equal_ones_in_a_row_are_the_servers(
        self, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        mail_server.refuse = {person: f"550 5.4.1 <{person}>: access denied" for person in PEOPLE}
        invite(app_driver, *PEOPLE)
        outbox.flush()
        for _ in range(3):
            app_driver.end_server_pauses()
            outbox.flush()
        assert set(states(app_driver).values()) == {MailState.QUEUED}
        assert "access denied" in admin.get(ic(HARBOUR)).text

        mail_server.refuse = {}
        app_driver.end_server_pauses()
        outbox.flush()
        assert set(states(app_driver).values()) == {MailState.SENT}

    def test_fewer_or_unequal_ones_are_the_recipients(
        self, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        reasons = ["550 5.4.1 denied", "550 5.5.0 no", "550 never", "550 5.6.1 not like this"]
        mail_server.refuse = {person: reasons[n % 4] for n, person in enumerate(PEOPLE[:12])}
        invite(app_driver, *PEOPLE[:12])
        outbox.flush()
        assert set(states(app_driver).values()) == {MailState.FAILED}

    def test_unknown_mailboxes_are_the_recipients_however_many(
        self, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        mail_server.refuse = dict.fromkeys(PEOPLE, "550 5.1.1 no such user")
        invite(app_driver, *PEOPLE)
        outbox.flush()
        assert set(states(app_driver).values()) == {MailState.FAILED}


class TestOfOneMail:
    def test_a_refusal_of_one_domain_fails_its_mails_alone(
        self, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        strict = [person for person in PEOPLE if person.endswith("@client1.test")]
        mail_server.refuse = dict.fromkeys(strict, "550 5.7.1 our policy forbids it")
        invite(app_driver, *PEOPLE)
        rounds(app_driver, outbox, 30)
        assert {person for person, state in states(app_driver).items() if state is MailState.FAILED} == set(strict)
        assert {person for person, state in states(app_driver).items() if state is MailState.SENT} == {*PEOPLE} - set(
            strict
        )
        assert len(mail_server.mails) == len(PEOPLE) - len(strict)

    @ON_BOTH
    def test_the_next_recipient_is_one_of_another_domain_and_decides_for_the_whole_domain(
        self, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        strict = [f"p{n}@strict.test" for n in range(12)]
        others = [f"p{n}@other{n}.test" for n in range(3)]
        mail_server.refuse = {person: f"550 5.7.1 <{person}>: our policy forbids it" for person in strict}
        invite(app_driver, *strict)
        invite(app_driver, *others)
        outbox.flush()
        app_driver.end_server_pauses()
        for _ in range(12):
            if MailState.QUEUED in states(app_driver).values():
                outbox.flush()
        assert states(app_driver) == dict.fromkeys(others, MailState.SENT) | dict.fromkeys(strict, MailState.FAILED)
        assert 'id="mail-pause"' not in admin.get(ic(HARBOUR)).text

    def test_what_one_domain_forbids_says_nothing_of_another(
        self, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        mail_server.refuse[PEOPLE[0]] = DENIED
        invite(app_driver, PEOPLE[0])
        outbox.flush()
        invite(app_driver, PEOPLE[1])
        outbox.flush()
        outbox.flush()
        assert states(app_driver) == {PEOPLE[0]: MailState.FAILED, PEOPLE[1]: MailState.SENT}
        later = [f"q{n}@client{n % 2 + 1}.test" for n in range(10)]
        mail_server.refuse |= dict.fromkeys(later, DENIED)
        invite(app_driver, *later)
        for _ in range(3):
            outbox.flush()
        assert {states(app_driver)[person] for person in later} == {MailState.QUEUED}
        assert 'id="mail-pause"' in admin.get(ic(HARBOUR)).text

    @ON_BOTH
    def test_it_fails_as_soon_as_another_one_was_taken(
        self, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        mail_server.refuse[PEOPLE[0]] = DENIED
        invite(app_driver, PEOPLE[0])
        outbox.flush()
        assert app_driver.mail(PEOPLE[0]).state is MailState.QUEUED
        invite(app_driver, PEOPLE[1])
        outbox.flush()
        outbox.flush()
        assert states(app_driver) == {PEOPLE[0]: MailState.FAILED, PEOPLE[1]: MailState.SENT}
        assert DENIED in (app_driver.mail(PEOPLE[0]).last_error or "")

    @ON_BOTH
    def test_with_nobody_else_waiting_the_third_refusal_is_its_own(
        self, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        mail_server.refuse[PEOPLE[0]] = DENIED
        invite(app_driver, PEOPLE[0])
        for refused in (1, 2):
            outbox.flush()
            mail = app_driver.mail(PEOPLE[0])
            assert (mail.state, mail.refusals, mail.attempts) == (MailState.QUEUED, refused, 0)
            assert 5 < app_driver.seconds_until_due(PEOPLE[0]) <= 90
            app_driver.make_due()
        outbox.flush()
        assert app_driver.mail(PEOPLE[0]).state is MailState.FAILED
        assert 'id="mail-pause"' not in admin.get(ic(HARBOUR)).text


def test_the_row_of_a_waiting_mail_says_when_it_is_tried_next(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    mail_server.refuse[PEOPLE[0]] = "450 4.2.1 too many mails"
    invite(app_driver, PEOPLE[0])
    outbox.flush()
    page = parse(admin.get(ic(HARBOUR)))
    (time,) = page.select('td[data-col="status"] time')
    due_at = app_driver.mail(PEOPLE[0]).due_at
    assert datetime.fromisoformat(str(time["datetime"])) == due_at.astimezone(UTC).replace(microsecond=0)
    assert "Next attempt" in admin.row(HARBOUR, PEOPLE[0]).health
