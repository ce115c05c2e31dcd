"""Many portals at once: imports, searches, registrations and webhooks, through several web processes and workers.

    make load                                  # at most 10 minutes, whatever the machine does in them
    make load ARGS='--portals 20'              # about 2 minutes

bench/README.md says how to read it.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from itertools import cycle
from pathlib import Path
from time import monotonic

from app import create_app
from app.extensions import db
from app.models import Role
from app.webhooks.endpoints import EVENTS, add_endpoint
from bench.portals_day import KINDS, Day, Result, admin_of, check, portal_name
from bench.support import Database, databases, figure_of, say, table, tell
from config import load_settings
from tests.crash.fault_smtp import BehavingSmtp
from tests.crash.people import Person
from tests.support import pgbouncer
from tests.support.factories import make_member, make_portal
from tests.support.processes import FLASK, Process
from tests.support.production import gunicorn
from tests.support.scripted_http import ScriptedHttp


@dataclass(frozen=True)
class Size:
    portals: int
    rows: int
    webs: int
    workers: int


def furnish(database: Database, size: Size, hook: str) -> None:
    """Make the portals, each with an admin and an endpoint for all events."""
    app = create_app(load_settings(database.settings))
    with app.app_context():
        for n in range(size.portals):
            make_portal(portal_name(n), f"Portal {n}")
            make_member(portal_name(n), admin_of(n), "Ada Berg", Role.CLIENT_ADMIN)
            add_endpoint(portal_name(n), hook, "", EVENTS)
        db.session.remove()
        db.engine.dispose()


def run(database: Database, size: Size, way: str, until: float) -> Result:
    """A day on a database, which the processes reach at the address `way`, until a moment by `monotonic()`."""
    webs = StringIO()
    with redirect_stderr(webs), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        smtp = stack.enter_context(BehavingSmtp())
        receiver = stack.enter_context(ScriptedHttp())
        furnish(database, size, receiver.url)
        settings = {
            **database.settings,
            "DATABASE_URL": way,
            "MAIL_SERVER": smtp.host,
            "MAIL_PORT": str(smtp.port),
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TRUSTED_PROXIES": "1",
        }
        ports = [stack.enter_context(gunicorn(settings, fresh=False)) for _ in range(size.webs)]
        logs = [folder / f"worker-{n}" for n in range(size.workers)]
        for log in logs:
            worker = Process([*FLASK, "worker"], settings, log)
            stack.callback(worker.stop)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            # The first page takes longer: all that it needs is read then.
            Person(url).get("/login")
        turns = cycle(urls)
        day = Day(lambda: nullcontext(next(turns)), smtp, size.portals, size.rows, until)
        day.run()
        began = monotonic()
        check(database.settings, day, smtp, receiver, until)
        day.result.settled = monotonic() - began
        lines = [line for log in logs for line in log.read_text().splitlines()]
    _judge_logs(day.result, lines + webs.getvalue().splitlines())
    return day.result


def _judge_logs(result: Result, lines: list[str]) -> None:
    """Errors that processes tell of. A job that waited in vain for SQLite's one writer runs again: it was busy."""
    for line in lines:
        is_error = '"level": "error"' in line or "Traceback" in line
        if "database is locked" in line:
            result.busy["jobs"] += 1
        elif is_error:
            result.errors.append(line[:300])


@contextmanager
def _way_to(database: Database, *, pooled: bool) -> Iterator[str]:
    if not pooled:
        yield database.url
        return
    with tempfile.TemporaryDirectory() as folder:
        # PgBouncer runs as another user.
        Path(folder).chmod(0o755)
        with pgbouncer.PgBouncer(database.url, Path(folder)) as pooler:
            yield pooler.url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=PLACES, action="append", help="only there")
    parser.add_argument("--portals", type=int, default=200)
    parser.add_argument("--rows", type=int, default=10, help="of each portal's import")
    parser.add_argument("--webs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=480, help="the most for all of it, but for the processes' end")
    wanted = parser.parse_args()
    logging.disable()
    size = Size(wanted.portals, wanted.rows, wanted.webs, wanted.workers)
    places = wanted.on or list(PLACES)
    if pgbouncer.program() is None and "pgbouncer" in places:
        tell(f"left out: {pgbouncer.MISSING}")
        places.remove("pgbouncer")
    results = {}
    end = monotonic() + wanted.seconds
    for turn, place in enumerate(places):
        kind, pooled = PLACES[place]
        until = monotonic() + (end - monotonic()) / (len(places) - turn)
        tell(
            f"{place}: {size.portals} portals, {size.webs} web processes, {size.workers} workers,"
            f" at most {until - monotonic():.0f} s"
        )
        with databases(kind) as make:
            database = make("load")
            with _way_to(database, pooled=pooled) as url:
                results[place] = run(database, size, url, until)
        report(place, results[place])
    print(table(["", *results], list(_rows(results))))
    if any(result.errors for result in results.values()):
        sys.exit("There were errors: see above.")


PLACES: Mapping[str, tuple[str, bool]] = {
    "sqlite": ("sqlite", False),
    "postgresql": ("postgresql", False),
    "pgbouncer": ("postgresql", True),
}
"""Where the load runs: the kind of database, and whether through PgBouncer in transaction pooling."""


def report(place: str, result: Result) -> None:
    for kind in KINDS:
        figure_of(f"{place}: {kind}", [1000 * seconds for seconds in result.seconds[kind]] or [0.0])
    say({"figure": f"{place}: portals", "median": result.portals, "unit": "1"})
    say({"figure": f"{place}: errors", "median": len(result.errors), "busy": dict(result.busy), "unit": "1"})
    for error, times in Counter(result.errors).most_common(20):
        tell(f"{place}: {times} × {error}")


def _rows(results: Mapping[str, Result]) -> Iterator[list[str]]:
    def p95(times: list[float]) -> str:
        return f"{sorted(times)[math.ceil(0.95 * len(times)) - 1] * 1000:.0f}" if times else "-"

    yield ["portals that had their day", *(str(result.portals) for result in results.values())]
    for kind in KINDS:
        yield [f"{kind}: p95, ms", *(p95(result.seconds[kind]) for result in results.values())]
    yield ["requests a second", *(f"{result.requests / result.took:.1f}" for result in results.values())]
    yield ["requests", *(str(result.requests) for result in results.values())]
    yield ["told to come again (503)", *(str(result.busy.total()) for result in results.values())]
    yield ["mails, each once", *(str(result.mails) for result in results.values())]
    yield ["webhooks, each once", *(str(result.webhooks) for result in results.values())]
    yield ["seconds, and until all was sent", *(f"{one.took:.0f} + {one.settled:.0f}" for one in results.values())]
    yield ["errors", *(str(len(result.errors)) for result in results.values())]


if __name__ == "__main__":
    main()
