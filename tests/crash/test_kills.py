"""A process dies at the worst moment: no mail is lost, and none is repeated that was not in the server's hands."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.crash.crash_points import OF_THE_WEB, OF_THE_WORKER, WHEN_STOPPING
from tests.crash.installation import Installation, wait_until
from tests.crash.load import TAKE_SECONDS, Load
from tests.crash.people import Answer, Person

Install = Callable[..., Installation]

RANDOM_KILLS = 5
SIGTERMS = 2


def test_a_worker_that_is_killed_at_any_point_of_its_work_loses_nothing(install: Install) -> None:
    place = install(take_seconds=0.02, OUTBOX_CONNECTIONS="2")
    place.web()
    admin = place.admin()
    for number, point in enumerate(OF_THE_WORKER):
        for n in range(5):
            admin.add(f"{point}.{n}@client.test")
        # Now the first time it comes there and now the third.
        place.orders.give(point, nth=1 if point == "connecting" else 1 + number % 3)
        doomed = place.worker()
        assert place.has_followed(doomed, point), f"{point}: {doomed.said}"
    place.worker()
    place.settle()
    found = place.assert_kept(admin)
    assert len(found.excused) <= 2 * len(OF_THE_WORKER), "no kill repeats more than there are connections"


def test_a_worker_that_is_killed_while_it_stops_loses_nothing(install: Install) -> None:
    # So long that nobody misses the one mail that is in the server's hands, however busy the machine.
    place = install(take_seconds=1.0, OUTBOX_CONNECTIONS="2")
    place.web()
    admin = place.admin()
    for point in WHEN_STOPPING:
        for n in range(8):
            admin.add(f"{point}.{n}@client.test")
        doomed = place.worker()
        wait_until(lambda: place.smtp.in_hand, "mails are in the server's hands")
        # Not before: on a busy machine a first attempt may run out of time, which is a result as well.
        place.orders.give(point)
        doomed.tell_to_stop()
        assert place.has_followed(doomed, point), f"{point}: {doomed.said}"
        wait_until(lambda: not place.smtp.in_hand, "the server has done with the mails of the dead")
    place.smtp.take_seconds = 0
    place.worker()
    place.settle()
    place.assert_kept(admin)


def test_a_web_process_that_is_killed_around_a_commit_has_done_all_or_nothing(install: Install) -> None:
    place = install()
    place.web()
    admin = place.admin()
    acts: dict[str, Callable[[Person, str], Answer | None]] = {
        "add": lambda admin, email: admin.add(email),
        "import": lambda admin, email: admin.bring_in([email, f"and-{email}"]),
        "resend": lambda admin, email: admin.resend(admin.line(email)),
        "removal": lambda admin, email: admin.remove(admin.line(email)),
    }
    for point in OF_THE_WEB:
        when, what = point.split("-")
        email = f"{point}@client.test"
        if what in {"resend", "removal"}:
            admin.add(email)
        place.orders.give(point)
        assert acts[what](admin, email) is None, "nobody was there to answer"
        assert place.orders.were_followed, point
        is_there = email in [line.email for line in admin.lines()]
        if what != "resend":
            assert is_there is ((what == "removal") == (when == "before")), point
    place.worker()
    place.settle()
    found = place.assert_kept(admin)
    assert found.excused == []


def test_processes_that_are_killed_at_random_lose_nothing(install: Install) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    place = install(take_seconds=TAKE_SECONDS, OUTBOX_CONNECTIONS="2")
    with Load(place, seed) as load:
        for _ in range(RANDOM_KILLS):
            load.kill_somebody()
    place.settle()
    place.assert_kept(load.admin)


def test_a_worker_that_is_told_to_stop_loses_and_repeats_nothing(install: Install) -> None:
    place = install(take_seconds=1.0)
    place.web()
    admin = place.admin()
    for time in range(SIGTERMS):
        for n in range(10):
            admin.add(f"stop-{time}.{n}@client.test")
        worker = place.worker()
        wait_until(lambda: place.smtp.in_hand >= 2, "mails are in the server's hands")
        place.stop(worker)
    place.smtp.take_seconds = 0
    place.worker()
    place.settle()
    found = place.assert_kept(admin)
    assert found.excused == []
    assert len(place.smtp.history) == 10 * SIGTERMS
