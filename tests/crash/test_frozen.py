"""Workers that sleep past their lease, as in a machine that was suspended, and wake up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.crash.crash_process import CrashProcess
from tests.crash.installation import Installation, wait_until
from tests.crash.people import Person

Install = Callable[..., Installation]

IN_THE_SERVERS_HANDS = ("after-body", "after-verdict")
NOT_YET = ("after-fetch", "connecting", "after-mail", "after-rcpt", "mid-body")


def test_who_sleeps_past_the_lease_neither_sends_nor_marks_what_others_have_sent(install: Install) -> None:
    place = install(take_seconds=0.02, OUTBOX_CONNECTIONS="1")
    place.web()
    admin = place.admin()
    sleepers = []
    for point in (*NOT_YET, *IN_THE_SERVERS_HANDS):
        for n in range(2):
            admin.add(f"{point}.{n}@client.test")
        sleepers.append(asleep(place, point))
    before, repeats = taken_over(place), list(place.smtp.history)
    assert_awake(place, admin, sleepers)
    assert before <= kept(place)
    found = place.assert_kept(admin)
    # Of a mail whose body is just being sent, the rest may be on its way already when the worker falls asleep.
    assert len(found.excused) - len(IN_THE_SERVERS_HANDS) in {0, 1}
    assert place.smtp.history[:-1] == repeats, "nothing was sent by those who woke but what is new"


def test_two_workers_that_freeze_at_any_moment_repeat_only_what_was_in_the_servers_hands(install: Install) -> None:
    place = install(take_seconds=0.1)
    place.web()
    admin = place.admin()
    admin.bring_in([f"{n}@client.test" for n in range(100)])
    sleepers = [place.worker(), place.worker()]
    wait_until(lambda: len(place.smtp.history) >= 20, "both are at work")
    for sleeper in sleepers:
        place.freeze(sleeper)
    before = taken_over(place)
    assert_awake(place, admin, sleepers)
    assert before <= kept(place)
    assert len(place.assert_kept(admin).excused) <= 2 * 4, "two workers with four connections each"


# Whoever sleeps in a transaction on SQLite holds up everybody: nobody is there who could end it.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_sleeps_in_a_transaction_loses_it_to_the_others(install: Install) -> None:
    place = install()
    place.web()
    admin = place.admin()
    admin.add("claimed@client.test")
    sleepers = [asleep(place, "before-fetch")]
    admin.add("marked@client.test")
    sleepers.append(asleep(place, "before-mark"))
    before = taken_over(place)
    assert_awake(place, admin, sleepers)
    assert before <= kept(place)
    # None, if it fell asleep only after its commit: the signal takes a moment.
    assert len(place.assert_kept(admin).excused) <= 1, "only one of them had sent anything"


def asleep(place: Installation, point: str) -> CrashProcess:
    """A worker that has frozen at a point."""
    place.orders.give(point, do="freeze")
    sleeper = place.worker()
    assert place.has_followed(sleeper, point), f"{point}: {sleeper.said}"
    wait_until(lambda: sleeper.is_frozen, "it sleeps")
    return sleeper


def taken_over(place: Installation) -> set[str]:
    """What is kept when another worker has done all that those who sleep would have."""
    other = place.worker()
    wait_until(lambda: place.is_settled, "the other one takes over what they hold")
    place.stop(other)
    return kept(place)


def assert_awake(place: Installation, admin: Person, sleepers: Sequence[CrashProcess]) -> None:
    """They wake, finish what they have in their hands, and send what is new."""
    before = kept(place)
    for sleeper in sleepers:
        sleeper.thaw()
    admin.add("awake@client.test")
    place.settle()
    for sleeper in sleepers:
        place.stop(sleeper)
    assert len(place.smtp.to("awake@client.test")) == 1
    assert len(kept(place) - before) == 5, "the new client, its mail, and that it was invited, queued and sent"


def kept(place: Installation) -> set[str]:
    """What is kept of clients, their mails and their histories."""
    tables = ("imported_client:", "outbox_mail:", "client_event:")
    return {line for line in place.app_driver.dump().splitlines() if line.startswith(tables)}
