"""Every way in which a mail server can behave, once: what is sent is sent once, and what is not says why."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from time import monotonic

import pytest

from tests.crash.fault_smtp import BehavingSmtp
from tests.crash.faults import OF_CONNECTIONS, OF_RECIPIENTS
from tests.crash.installation import Installation, wait_until

Install = Callable[..., Installation]

FOR_GOOD = {
    *("rcpt-550", "rcpt-551", "rcpt-553", "data-554", "rset-hang"),
    *("end-550", "end-552", "end-554"),
}
"""A 5xx about the recipient or the mail itself: it fails at once, with the server's words."""
TAKEN_AT_ONCE = {
    *("end-late", "end-later", "end-250-close", "end-long"),
    *("idle-close", "idle-421"),
}
UNKNOWN = {"end-close", "end-hang", "end-drip", "end-wrong", "end-garbage", "end-too-late"}
"""The mail may have been taken each time, so it may be repeated."""
AT_THE_END = {"quit-hang", "quit-close"}
AGAIN = OF_RECIPIENTS.keys() - FOR_GOOD - TAKEN_AT_ONCE - UNKNOWN - AT_THE_END


def test_there_are_many_behaviours() -> None:
    assert len(OF_CONNECTIONS) + len(OF_RECIPIENTS) >= 40


def test_whatever_a_server_does_about_a_mail_the_mail_ends_where_it_should(install: Install) -> None:
    place = install()
    place.web()
    admin = place.admin()
    mails = {name: f"{name}.mail@client.test" for name in FOR_GOOD | TAKEN_AT_ONCE}
    mails |= {name: f"{name}.x2.mail@client.test" for name in AGAIN}
    mails |= {name: f"{name}.x1.mail@client.test" for name in UNKNOWN}
    admin.bring_in([*mails.values(), *(f"{n}@client.test" for n in range(20))])
    place.worker()
    place.settle()
    for name in AT_THE_END:
        place.smtp.hang_up()
        admin.add(f"{name}.mail@client.test")
        wait_until(lambda name=name: place.smtp.seen[name], "it has taken leave")
    found = place.assert_kept(admin)
    assert place.smtp.seen.keys() == OF_RECIPIENTS.keys()

    lines = {line.email: line for line in admin.lines()}
    assert {name for name, email in mails.items() if lines[email].delivery == "failed"} == FOR_GOOD
    for name in FOR_GOOD:
        assert "as you wish" in lines[mails[name]].notes or "never" in lines[mails[name]].notes
    repeated = {excused.partition(".")[0] for excused in found.excused}
    assert repeated == UNKNOWN
    for name in TAKEN_AT_ONCE:
        assert len(place.smtp.to(mails[name])) == 1, name


# Nothing of it depends on the database.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whatever_a_server_does_before_it_knows_the_recipient_every_mail_goes_out(install: Install) -> None:
    place = install(OUTBOX_CONNECTIONS="2")
    place.web()
    admin = place.admin()
    place.smtp.plan([*(name for name in OF_CONNECTIONS if name != "mail-552"), None])
    place.worker()
    for number in count():
        # A fresh mail for each connection: those that were refused have to wait for a while. One that is open for
        # an older mail may take the fresh one, too; then there is another try.
        before, email = place.smtp.planned, f"{number}@client.test"
        if not before:
            break
        assert number < 4 * len(OF_CONNECTIONS)
        place.smtp.hang_up()
        admin.add(email)
        wait_until(
            lambda before=before, email=email: place.smtp.planned < before or place.smtp.to(email),
            "it found a connection",
        )
    place.settle()
    found = place.assert_kept(admin)
    assert found.excused == []
    assert set(place.smtp.seen) == OF_CONNECTIONS.keys() - {"mail-552"}
    assert {line.delivery for line in admin.lines()} == {"sent"}


def test_a_mail_whose_size_was_refused_is_tried_again_after_another_one(install: Install) -> None:
    place = install(OUTBOX_CONNECTIONS="1")
    place.web()
    admin = place.admin()
    place.smtp.plan(["mail-552"])
    admin.bring_in([f"{n}@client.test" for n in range(5)])
    place.worker()
    place.settle()
    place.assert_kept(admin)
    assert {line.delivery for line in admin.lines()} == {"sent"}


def test_a_quick_server_is_not_the_bottleneck() -> None:
    """Else what the crash tests say about many mails would be about themselves."""
    each = 250
    with BehavingSmtp() as server:

        def send(thread: int) -> None:
            with smtplib.SMTP(server.host, server.port, "localhost") as client:
                for n in range(each):
                    client.sendmail("a@b.test", f"{thread}.{n}@client.test", "Message-ID: <1@b.test>\r\n\r\nhi")

        began = monotonic()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(send, range(4)))
        seconds = monotonic() - began
        assert len(server.history) == 4 * each
        assert 4 * each / seconds > 200, "thousands on a quiet machine"
