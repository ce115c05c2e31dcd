"""Three workers and three web processes on one database, as on a busy day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from tests.crash.installation import Installation, wait_until
from tests.crash.people import Answer, Person
from tests.support.together import at_once

Install = Callable[..., Installation]

ROWS = 300
"""A share; `make soak` sends a thousand."""


def test_three_workers_and_three_web_processes_send_one_mail_to_each_client(install: Install) -> None:
    send_one_mail_to_each(install(), ROWS)


def bring_in(person: Person, emails: list[str]) -> Answer | None:
    """Import them; once more while the database is too busy, for nothing was imported then."""
    for _try in range(5):
        answer = person.bring_in(emails)
        if answer is None or answer.status != 503:
            return answer
    return answer


def send_one_mail_to_each(place: Installation, rows: int) -> None:
    """Imported through all three web processes at the same moment, while three workers run."""
    for at in range(3):
        place.web(at=at)
    workers = [place.worker() for _ in range(3)]
    admin = place.admin()
    emails = [f"{n}@client.test" for n in range(rows)]
    admins = [admin.twin(place.address(at)) for at in range(3)]
    answers = at_once([partial(bring_in, one, emails[at::3]) for at, one in enumerate(admins)])
    assert [answer and answer.status for answer in answers] == [200, 200, 200]
    place.settle()
    found = place.assert_kept(admin)
    assert found.excused == []
    assert Counter(mail.recipient for mail in place.smtp.history) == Counter(emails)
    for worker in workers:
        place.stop(worker)


def test_what_is_resent_or_removed_while_a_worker_has_it_waiting_goes_out_anew_or_not_at_all(install: Install) -> None:
    # So slow that the admin is done before the worker gets there, on a slow machine too.
    place = install(take_seconds=1.0, OUTBOX_CONNECTIONS="1")
    place.web()
    admin = place.admin()
    admin.bring_in([f"{n:02}@client.test" for n in range(24)])
    place.worker()
    wait_until(lambda: place.smtp.history, "the server has got the first")
    for line in admin.lines()[-4:]:
        admin.resend(line)
    for line in admin.lines()[-8:-4]:
        admin.remove(line)
    sent_meanwhile = len(place.smtp.history)
    place.smtp.take_seconds = 0
    place.settle()
    place.assert_kept(admin)
    assert sent_meanwhile < 16
    assert Counter(mail.recipient for mail in place.smtp.history) == Counter(line.email for line in admin.lines())
