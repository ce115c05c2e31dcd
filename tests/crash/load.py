"""Admins and workers who are busy all the time, while processes die at random."""

from __future__ import annotations

import random
from http.client import HTTPException
from threading import Event, Thread
from typing import Self

from tests.crash.crash_process import CrashProcess
from tests.crash.installation import Installation, wait_until
from tests.crash.people import Person

TAKE_SECONDS = 0.15
"""How long the mail server is to think about each mail, so that all workers always have mails in hand and waiting."""
_LONGEST_PAUSE = 0.5


class Load:
    """Two web processes, two workers, and an admin at each web process, until the end of the block."""

    def __init__(self, place: Installation, seed: int) -> None:
        self.place = place
        self._random = random.Random(seed)
        self._over = Event()
        self._webs = {at: place.web(at=at) for at in (0, 1)}
        self._workers = [place.worker(), place.worker()]
        self.admin = place.admin()
        admins = [self.admin, self.admin.twin(place.address(1))]
        self._threads = [
            Thread(target=self._work, args=[admin, number, self._random.random()])
            for number, admin in enumerate(admins)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.place.smtp.history, "mails go out")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def kill_somebody(self) -> None:
        """After a random while, a process that was chosen at random; another one takes its place."""
        self._over.wait(self._random.uniform(0.05, _LONGEST_PAUSE))
        if self._random.random() < 0.5:
            doomed = self._workers.pop(self._random.randrange(2))
            self._kill(doomed)
            self._workers.append(self.place.worker())
        else:
            at = self._random.randrange(2)
            self._kill(self._webs[at])
            self._webs[at] = self.place.web(at=at)

    def kill_at(self, point: str) -> None:
        """Somebody who comes by this point; a worker gets a successor, and gunicorn looks after its own."""
        is_kept = point == "connecting"
        self.place.orders.give(point, nth=1 if is_kept else self._random.randint(1, 4))
        if is_kept:
            # Connections are kept while there is work: only a new worker is sure to open one.
            self._kill(self._workers.pop())
            self._workers.append(self.place.worker())
        wait_until(lambda: self.place.orders.were_followed, f"somebody dies at {point}")
        done = self.place.orders.were_followed
        assert done is not None
        self.place.note_moment(done[1], f"dead at {point}")
        for doomed in [worker for worker in self._workers if worker.pid == done[0]]:
            wait_until(lambda doomed=doomed: not doomed.is_running, "it is dead")
            self._workers.remove(doomed)
            self._workers.append(self.place.worker())

    def _kill(self, doomed: CrashProcess) -> None:
        assert doomed.is_running, doomed.said
        self.place.kill(doomed)

    def _work(self, admin: Person, number: int, seed: float) -> None:
        """Add, bring in, resend and remove, now and then; what comes of it is in the ledger."""
        chance = random.Random(seed)
        n = 0
        while not self._over.wait(chance.uniform(0.0, 0.1)):
            n += 1
            match chance.choice(["add", "add", "add", "import", "resend", "remove"]):
                case "add":
                    admin.add(f"add-{number}-{n}@client.test")
                case "import":
                    admin.bring_in([f"import-{number}-{n}-{m}@client.test" for m in range(5)])
                case what:
                    try:
                        # Each admin has clients of its own, as resends of two at once would be judged more loosely.
                        mine = [line for line in admin.newest() if f"-{number}-" in line.email]
                    except (OSError, HTTPException):
                        continue
                    if mine:
                        line = chance.choice(mine)
                        admin.resend(line) if what == "resend" else admin.remove(line)
