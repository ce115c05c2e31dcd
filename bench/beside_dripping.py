"""How long one portal's mails take while another portal's own mail server drips, beside how long they take without.

Portal A has a thousand mails waiting for a server of its own that takes each whole and then answers a byte each half
second, without an end. Portal B's two hundred go out through the deployment's server (`sink.py`). What counts is the
ratio of the times from the first to the last of B's, in turns within one run. See README.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy import update

from app import create_app
from app.clock import db_now
from app.database import transaction
from app.extensions import db
from app.models import MailServerState, MailState, OutboxMail, Role, TlsMode
from app.outbox.own_server import OwnServer, save_own_server
from bench.flush_speed import Child, check_sink, verdict
from bench.import_speed import FLOORS
from bench.support import Clients, databases, say, table, tell
from config import load_settings
from tests.support.databases import KINDS
from tests.support.factories import import_file, make_member, make_portal
from tests.support.processes import FLASK, Process, environment
from tests.support.scripted_smtp import Drip, ScriptedSmtp

TARGET = 2.0

_DRIPPING, _OLAF = "alpine", "olaf@alpine.test"
_WAITING = 1000
_DRIP_SECONDS = 0.5
_LATENCY = 0.02
_CONNECTIONS = 4
_AT_MOST_SECONDS = 300
_YEAR = 365 * 24 * 60 * 60


def wait_until(holds: Callable[[], bool], what: str) -> None:
    end = monotonic() + _AT_MOST_SECONDS
    while not holds():
        if monotonic() > end:
            raise TimeoutError(what)
        sleep(0.05)


def measure(kind: str, runs: int, mails: int) -> list[list[str]]:
    """Both cases in turns on one kind of database."""
    with databases(kind) as make, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        sink = stack.enter_context(Child(["-m", "bench.sink"]))
        dripping = stack.enter_context(ScriptedSmtp({"body": Drip(_DRIP_SECONDS)}))
        database, clients = make("dripping"), Clients()
        settings = {
            **database.settings,
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(sink.hello["port"]),
            "MAIL_ALLOWED_NETWORKS": "127.0.0.0/8",
            "OUTBOX_CONNECTIONS": str(_CONNECTIONS),
        }
        app = create_app(load_settings(settings))
        with app.app_context():
            make_portal(_DRIPPING, "Alpine Stays")
            make_member(_DRIPPING, _OLAF, "Olaf Nyman", Role.CLIENT_ADMIN)
            server = OwnServer("127.0.0.1", dripping.port, TlsMode.NONE, "Alpine Stays <clients@alpine.test>")
            save_own_server(_DRIPPING, server)
            import_file(_DRIPPING, *(f"{n}@alpine-client.test" for n in range(_WAITING)), actor=_OLAF)
            stack.callback(db.engine.dispose)
        writer = FLOORS[kind](database)
        stack.callback(writer.close)

        def seconds(*, beside_dripping: bool) -> float:
            """By a worker that has just started, and has in hand whatever A's server lets it have."""
            with app.app_context():
                _let_wait(0 if beside_dripping else _YEAR)
            in_hand = len(dripping.mails) + _CONNECTIONS
            worker = Process([*FLASK, "worker"], environment(settings), folder / "worker.log")
            try:
                wait_until(lambda: "worker: started" in worker.said, "the worker starts")
                if beside_dripping:
                    # The last connection is kept for portals whose mails go out quickly, of which this server has none.
                    wait_until(lambda: len(dripping.mails) >= in_hand - 1, "the dripping server has its mails")
                sink.ask(do="reset", latency=_LATENCY, keep=False)
                mails_of_b = clients.take(mails)
                writer.write(mails_of_b)
                wait_until(lambda: sink.ask(do="count")["mails"] >= mails, "all mails are sent")
                count = sink.ask(do="count")
                check_sink(sink, [email for _, email in mails_of_b])
            finally:
                worker.kill()
            return float(count["last"] - count["first"])

        busy = os.getloadavg()[0] - 1
        tell(f"{kind}: measuring{f', beside {busy:.0f} other busy processes' if busy > 1 else ''} …")
        taken: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(runs):
            for beside in taken:
                taken[beside].append(seconds(beside_dripping=beside))
    lines = []
    for beside, name in (False, "alone"), (True, "beside a dripping server"):
        figure = {"median": statistics.median(taken[beside]), "min": min(taken[beside]), "max": max(taken[beside])}
        rounded = {key: round(value, 2) for key, value in figure.items()}
        say({"figure": f"{kind}: {mails} mails, {name}", **rounded, "n": runs, "unit": "s"})
        lines.append([f"{kind}: {mails} mails, {name}", f"{rounded['median']} s", "", ""])
    ratio = round(statistics.median(taken[True]) / statistics.median(taken[False]), 2)
    return [*lines, verdict(f"{kind}: beside a dripping server / alone", ratio, TARGET, ratio <= TARGET)]


def _let_wait(seconds: float) -> None:
    """Put all of A's mails back to their beginning, due in so many seconds, and end what its server was paused for."""
    with transaction() as session:
        session.execute(
            update(OutboxMail)
            .where(OutboxMail.portal_id == _DRIPPING)
            .values(state=MailState.QUEUED, lease_id=None, lease_until=None, attempts=0, due_at=db_now(seconds))
        )
        session.execute(update(MailServerState).values(paused_until=None, paused_since=None, faults=0, reason=None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each case (default 5)")
    parser.add_argument("--mails", type=int, default=200, help="B's mails of a run (default 200)")
    parser.add_argument("--database", choices=KINDS, action="append", help="only this one (default both)")
    options = parser.parse_args()
    lines: list[list[str]] = []
    for kind in options.database or KINDS:
        lines += measure(kind, options.runs, options.mails)
    print(table(["", "median", "is / target", "met"], lines))


if __name__ == "__main__":
    main()
