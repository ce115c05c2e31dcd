"""What a worker without work asks its database, and how much of a processor it takes.

    make bench-idle                            # about 5 minutes
    make bench-idle ARGS='--seconds 10'

bench/README.md says how to read it.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

from app import create_app
from app.extensions import db
from app.jobs.scheduler import start_embedded
from bench.support import Database, add_forked, databases, say, table, tell
from config import load_settings
from tests.support.databases import KINDS
from tests.support.processes import FLASK, Process, wait_until
from tests.support.statements import heard

_STILL_BEGINS_SECONDS = 0.03
MOST_STATEMENTS = 2.0
MOST_CPU_PERCENT = 0.5


def statements_a_second(database: Database, seconds: float, settle: float) -> float:
    """Of the scheduler in this process, as the database hears them."""
    app = create_app(load_settings(database.settings))
    with tempfile.TemporaryDirectory() as folder, app.app_context(), heard(db.engine, Path(folder)) as statements:
        scheduler = start_embedded(app)
        time.sleep(settle)
        before, began = len(statements()), time.monotonic()
        time.sleep(seconds)
        asked, taken = len(statements()) - before, time.monotonic() - began
        scheduler.stop()
    return asked / taken


def cpu_percent(database: Database, seconds: float, settle: float, *, fresh: bool = True) -> float:
    """Of one processor, by a worker process with the settings that an operator has."""
    with tempfile.TemporaryDirectory() as folder:
        worker = Process([*FLASK, "worker"], database.settings, Path(folder) / "log", fresh=fresh)
        wait_until(lambda: "worker: started" in worker.said, "the worker has started")
        before = _cpu_seconds(worker.pid)
        time.sleep(settle)
        while settle and (now := _cpu_seconds(worker.pid)) - before > _STILL_BEGINS_SECONDS:
            before = now
            time.sleep(1)
        before, began = _cpu_seconds(worker.pid), time.monotonic()
        time.sleep(seconds)
        used, taken = _cpu_seconds(worker.pid) - before, time.monotonic() - began
        worker.stop()
    return 100 * used / taken


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far. Linux only."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=KINDS, action="append", help="only this one")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    # All jobs run once at the beginning, and on a busy machine that takes longer.
    parser.add_argument("--settle", type=float, default=5.0, help="seconds to wait before each")
    add_forked(parser)
    wanted = parser.parse_args()
    logging.disable()
    rows = []
    for kind in wanted.database or KINDS:
        with databases(kind) as make:
            tell(f"{kind}: {2 * (wanted.seconds + wanted.settle):.0f} s")
            statements = statements_a_second(make("statements"), wanted.seconds, wanted.settle)
            cpu = cpu_percent(make("cpu"), wanted.seconds, wanted.settle, fresh=wanted.fresh)
        say({"figure": f"{kind}: statements a second", "median": round(statements, 2), "n": 1, "unit": "1/s"})
        say({"figure": f"{kind}: processor", "median": round(cpu, 2), "n": 1, "unit": "%"})
        rows.append([kind, f"{statements:.2f}", f"{MOST_STATEMENTS:g}", f"{cpu:.2f} %", f"{MOST_CPU_PERCENT:g} %"])
    print(table(["an idle worker", "statements a second", "at most", "processor", "at most"], rows))


if __name__ == "__main__":
    main()
