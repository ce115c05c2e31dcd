"""How long one portal's mails take while another portal's mails are dripped at, beside how long they take without.

Portal A has a thousand mails waiting for a server that takes each whole mail and then answers with one byte every half
second, without an end. That is either A's own server, or the deployment's, which does so only to A's mails. Portal B's
two hundred mails go out through the deployment's server (`sink.py`). The result is the ratio of the times from B's
first mail to its last, measured in turns within one run. See README.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy import update

from app import create_app
from app.db.transactions import transaction
from app.extensions import db
from app.models import MailServerState, MailState, OutboxMail, Role, TlsMode
from app.models.types import db_now
from app.outbox.server_settings import OwnServer, drop_own_server, save_own_server
from bench.flush_site import Child, check_sink
from bench.flush_speed import verdict
from bench.import_speed import FLOOR_OF
from bench.sink import DRIP_SECONDS
from bench.support import Clients, databases, say, table, tell
from config import load_settings
from tests.support.databases import KINDS
from tests.support.factories import forget_server_notices, import_file, make_member, make_portal
from tests.support.processes import FLASK, Process, environment
from tests.support.scripted_smtp import Drip, ScriptedSmtp

TARGET = 2.0

_DRIPPING, _OLAF = "alpine", "olaf@alpine.test"
_DOMAIN = "alpine-client.test"
_LATENCY = 0.02
_CONNECTIONS = 4
_AT_MOST_SECONDS = 300
_YEAR = 365 * 24 * 60 * 60


class Case(StrEnum):
    """Where A's mails are while B's mails go out."""

    ALONE = "alone"
    OWN_SERVER = "beside a dripping server"
    ONE_SERVER = "beside mails that the same server drips at"


def wait_until(holds: Callable[[], bool], what: str) -> None:
    end = monotonic() + _AT_MOST_SECONDS
    while not holds():
        if monotonic() > end:
            raise TimeoutError(what)
        sleep(0.05)


def measure(kind: str, runs: int, mails: int, waiting: int) -> list[list[str]]:
    """Both cases in turns on one kind of database."""
    with databases(kind) as make, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        sink = stack.enter_context(Child(["-m", "bench.sink"]))
        dripping = stack.enter_context(ScriptedSmtp({"body": Drip(DRIP_SECONDS)}))
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
            import_file(_DRIPPING, *(f"{n}@{_DOMAIN}" for n in range(waiting)), actor=_OLAF)
            stack.callback(db.engine.dispose)
        writer = FLOOR_OF[kind](database)
        stack.callback(writer.close)

        own = OwnServer("127.0.0.1", dripping.port, TlsMode.NONE, "Alpine Stays <clients@alpine.test>")

        def seconds(case: Case) -> float:
            """The seconds for B's mails. The worker has just started and holds as many of A's mails as it can."""
            with app.app_context():
                _let_wait(_YEAR if case is Case.ALONE else 0)
                if case is Case.OWN_SERVER:
                    save_own_server(_DRIPPING, own)
                elif case is Case.ONE_SERVER:
                    drop_own_server(_DRIPPING)
                forget_server_notices()
            sink.ask(do="reset", latency=_LATENCY, keep=False, drips=_DOMAIN)
            before = len(dripping.mails)
            worker = Process([*FLASK, "worker"], environment(settings), folder / "worker.log")
            try:
                wait_until(lambda: "worker: started" in worker.said, "the worker starts")
                # The worker keeps half of its connections for portals whose mails go out quickly.
                if case is Case.OWN_SERVER:
                    wait_until(lambda: len(dripping.mails) >= before + _CONNECTIONS // 2, "A's server has its mails")
                elif case is Case.ONE_SERVER:
                    wait_until(lambda: sink.ask(do="count")["dripping"] >= _CONNECTIONS // 2, "A's mails are there")
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
        taken: dict[Case, list[float]] = {case: [] for case in Case}
        for _ in range(runs):
            for case, times in taken.items():
                times.append(seconds(case))
    lines = []
    for case, times in taken.items():
        figure = {"median": statistics.median(times), "min": min(times), "max": max(times)}
        rounded = {key: round(value, 2) for key, value in figure.items()}
        say({"figure": f"{kind}: {mails} mails, {case}", **rounded, "n": runs, "unit": "s"})
        lines.append([f"{kind}: {mails} mails, {case}", f"{rounded['median']} s", "", ""])
    own, one = (
        round(statistics.median(taken[case]) / statistics.median(taken[Case.ALONE]), 2)
        for case in (Case.OWN_SERVER, Case.ONE_SERVER)
    )
    say({"figure": f"{kind}: {Case.ONE_SERVER} / alone", "value": one})
    lines.append([f"{kind}: {Case.ONE_SERVER} / alone", "", str(one), ""])
    return [*lines, verdict(f"{kind}: {Case.OWN_SERVER} / alone", own, TARGET, own <= TARGET)]


def _let_wait(seconds: float) -> None:
    """Reset all of A's mails to unsent, due in so many seconds, and end the pauses of mail servers."""
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
    parser.add_argument("--waiting", type=int, default=1000, help="A's mails that wait (default 1000)")
    parser.add_argument("--database", choices=KINDS, action="append", help="only this one (default both)")
    options = parser.parse_args()
    lines: list[list[str]] = []
    for kind in options.database or KINDS:
        lines += measure(kind, options.runs, options.mails, options.waiting)
    print(table(["", "median", "is / target", "met"], lines))


if __name__ == "__main__":
    main()
