"""A worker process that runs the application's flush job on request.

    python -m bench.flush_once

Each line on stdin runs the job once, to its end, and is answered by a line of JSON. It holds the times of the monotonic
clock when the first transaction began (the first fetch) and the last writing transaction was committed (the last
record), the number of commits, and the processor time of the process and of its bookkeeping thread, in seconds.
"""

from __future__ import annotations

import json
import os
import sys
from time import monotonic, process_time, thread_time

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from app import create_app
from app.jobs.schedule import run_job
from config import load_settings


class Clock:
    """Records when transactions began and ended."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.committed = 0.0
        self.commits = 0
        event.listen(Engine, "begin", self._begin)
        # SQLAlchemy sends "commit" just before a transaction's commit, and after a statement that commits by itself.
        event.listen(Engine, "commit", self._commit)
        event.listen(Session, "after_commit", self._end)

    def reset(self) -> None:
        self.began.clear()
        self.commits = 0

    def _begin(self, *_: object) -> None:
        if not self.began:
            self.began.append(monotonic())

    def _commit(self, _: object) -> None:
        self.commits += 1
        self._end()

    def _end(self, *_: object) -> None:
        self.committed = monotonic()


def main() -> None:
    app = create_app(load_settings(dict(os.environ)))
    clock = Clock()
    print("{}", flush=True)
    for _ in sys.stdin:
        clock.reset()
        worked, booked = process_time(), thread_time()
        run_job(app, "flush-outbox")
        answer = {
            "began": clock.began[0],
            "ended": clock.committed,
            "commits": clock.commits,
            "worked": process_time() - worked,
            "booked": thread_time() - booked,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
