"""A tenth of the full figures, in at most half an hour; what came of it is written to `soak-results.json`.

    python -m tests.crash.soak                     # as `make soak` does
    python -m tests.crash.soak --seed 7 --share 0.01 --database sqlite --part kills --part sigterms

The full figures: see `FULL`. A run on a changed tree says so. docs/reliability.md holds the sum of the runs so far.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from traceback import format_exception_only
from typing import Any

from config import ROOT
from tests.crash.checker import Judgement
from tests.crash.crash_points import OF_THE_WEB, OF_THE_WORKER
from tests.crash.dead_links import DeadLinks
from tests.crash.installation import Installation, wait_until
from tests.crash.load import TAKE_SECONDS, Load
from tests.crash.races import PAIRS, Races
from tests.crash.state_machine import SETTINGS, run_scenarios
from tests.crash.test_fleet import send_one_mail_to_each
from tests.crash.test_outages import away_for_a_while
from tests.support.databases import KINDS, PostgresqlDatabases, SqliteDatabases

MINUTES = 30
FULL = {
    "kills": 500,
    "sigterms": 100,
    "races of a pair": 1000,
    "dead links": 50_000,
    "scenarios": 10_000,
    "mails that waited": 10_000,
    "rows of a fleet": 1000,
}
"""Of each database. The last two are not divided: they are the size of a case, not the number of cases."""

_KILLS_OF_A_PLACE = 10
_SIGTERMS_OF_A_PLACE = 5
_AWAY_SECONDS = 60
_LINKS_BETWEEN_LOOKS = 250
_SCENARIOS_AT_A_TIME = 8
_WALKING_SECONDS = 3000
"""All scenarios of a database; as many are run as there is time for."""


@dataclass
class Part:
    """What came of one part of a run."""

    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    first_mail: float | None = None
    """Seconds from the mail server's return."""
    seconds: float = 0.0

    def add(self, found: Judgement) -> None:
        self.done["accepted"] += found.accepted
        self.done["taken"] += found.taken
        self.done["excused repeats"] += len(found.excused)
        for name in ("lost", "repeated", "unexpected", "wrong_status"):
            self.done[name] += len(getattr(found, name))
        if not found.is_clean:
            self.faults.append(str(found))

    def as_json(self) -> dict[str, Any]:
        more = {"faults": self.faults} if self.faults else {}
        first = {} if self.first_mail is None else {"seconds until the first mail": round(self.first_mail, 1)}
        return {**self.done, **first, **more, "seconds": round(self.seconds)}


class Soak:
    """All parts on one database."""

    def __init__(self, make: Callable[..., Installation], share: float, chance: random.Random, end: float) -> None:
        self._make = make
        self._share = share
        self._chance = chance
        self._end = end

    def run(self, parts: Sequence[str], report: Callable[[str, Part], None]) -> None:
        for name in parts:
            part, began = Part(), monotonic()
            try:
                PARTS[name](self, part)
            except Exception as error:
                # Hypothesis tells the steps of a scenario in the notes of what was raised.
                part.faults.append("".join(format_exception_only(error))[:4000])
            part.seconds = monotonic() - began
            report(name, part)

    def _left(self, name: str) -> int:
        return max(1, round(FULL[name] * self._share))

    def _is_late(self, part: Part) -> bool:
        if monotonic() < self._end:
            return False
        part.faults.append(f"only so far: the {MINUTES} minutes are over")
        return True

    def _kills(self, part: Part) -> None:
        left = self._left("kills")
        while left and not self._is_late(part):
            kills, seed = min(left, _KILLS_OF_A_PLACE), self._chance.randrange(10**6)
            left -= kills
            with self._make(take_seconds=TAKE_SECONDS, OUTBOX_CONNECTIONS="2") as place:
                with Load(place, seed) as load:
                    for n in range(kills):
                        if n % 2:
                            load.kill_somebody()
                        else:
                            load.kill_at(self._chance.choice([*OF_THE_WORKER, *OF_THE_WEB]))
                        part.done["kills"] += 1
                self._judge(part, place, load.admin, f"seed {seed}")

    def _sigterms(self, part: Part) -> None:
        left = self._left("sigterms")
        while left and not self._is_late(part):
            times = min(left, _SIGTERMS_OF_A_PLACE)
            left -= times
            with self._make(take_seconds=1.0) as place:
                place.web()
                admin = place.admin()
                for time in range(times):
                    admin.bring_in([f"stop-{time}.{n}@client.test" for n in range(10)])
                    worker = place.worker()
                    in_hand = self._chance.randint(1, 3)
                    wait_until(lambda most=in_hand: place.smtp.in_hand >= most, "mails are in the server's hands")
                    place.stop(worker)
                    part.done["sigterms"] += 1
                place.smtp.take_seconds = 0
                place.worker()
                self._judge(part, place, admin, "told to stop")
                if part.done["excused repeats"]:
                    part.faults.append("a mail was repeated after a SIGTERM")

    def _fleet(self, part: Part) -> None:
        with self._make() as place:
            send_one_mail_to_each(place, FULL["rows of a fleet"])
            part.done["rows"] += FULL["rows of a fleet"]
            part.add(place.judgement(place.admin()))

    def _away(self, part: Part) -> None:
        mails = FULL["mails that waited"]
        with self._make() as place:
            part.first_mail = away_for_a_while(place, mails, away_seconds=_AWAY_SECONDS)
            part.done["mails"] += mails
            part.add(place.judgement(place.admin()))

    def _races(self, part: Part) -> None:
        for pair in PAIRS:
            if self._is_late(part):
                return
            with self._make() as place:
                races = Races(place)
                place.worker()
                for _ in range(self._left("races of a pair")):
                    races.run(pair)
                    part.done[pair] += 1
                part.faults += races.illegal
                self._judge(part, place, races.admin, pair)

    def _dead_links(self, part: Part) -> None:
        left = self._left("dead links")
        with self._make() as place:
            links = DeadLinks(place, self._chance)
            while left and not self._is_late(part):
                times = min(left, _LINKS_BETWEEN_LOOKS)
                left -= times
                part.done.update(links.run(times))

    def _scenarios(self, part: Part) -> None:
        end = min(self._end, monotonic() + _WALKING_SECONDS * self._share)
        with self._make(**SETTINGS) as place:
            while part.done["scenarios"] < self._left("scenarios") and monotonic() < end:
                part.done["scenarios"] += run_scenarios(place, _SCENARIOS_AT_A_TIME, self._chance.randrange(10**6))

    def _judge(self, part: Part, place: Installation, admin: Any, what: str) -> None:
        place.settle()
        found = place.judgement(admin)
        part.add(found)
        if not found.is_clean:
            part.faults.append(what)


PARTS: dict[str, Callable[[Soak, Part], None]] = {
    "kills": Soak._kills,
    "sigterms": Soak._sigterms,
    "fleet": Soak._fleet,
    "mail server away": Soak._away,
    "races": Soak._races,
    "dead links": Soak._dead_links,
    "scenarios": Soak._scenarios,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--share", type=float, default=0.1, help="of the full figures")
    parser.add_argument("--database", choices=KINDS, action="append", help="only this one")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "soak-results.json", help="where to write what came of it"
    )
    wanted = parser.parse_args()
    warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")
    # What the application in this process has to say would drown what came of it.
    logging.disable()
    # Whoever is told to stop takes the processes along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))

    chance, began = random.Random(wanted.seed), monotonic()
    run: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "tree": "changed since that commit" if _git("status", "--porcelain") else "clean",
        "seed": wanted.seed,
        "share": wanted.share,
    }
    passed = True
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        for kind in wanted.database or KINDS:
            made = SqliteDatabases(folder) if kind == "sqlite" else PostgresqlDatabases(folder / "postgresql", "soak")
            results = run[kind] = {}
            number = 0

            def make(databases: Any = made, kind: str = kind, **kwargs: Any) -> Installation:
                nonlocal number
                number += 1
                home = folder / f"{kind}-{number}"
                home.mkdir()
                return Installation(home, databases.fresh(home), **kwargs)

            def report(name: str, part: Part, kind: str = kind, results: dict[str, Any] = results) -> None:
                nonlocal passed
                results[name] = part.as_json()
                passed = passed and not part.faults
                print(f"{kind}, {name}: {json.dumps(results[name], ensure_ascii=False)}", flush=True)

            Soak(make, wanted.share, chance, began + 60 * MINUTES).run(wanted.part or list(PARTS), report)
    run["minutes"] = round((monotonic() - began) / 60, 1)
    run["passed"] = passed
    wanted.results.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({name: value for name, value in run.items() if name not in KINDS}))
    sys.exit(not passed)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
