"""How quickly waiting invitations go out: the whole flush job, beside a bare smtplib and beside django-post-office.

All send to the same sink (`sink.py`), which answers at once or after the time that a real server takes. The results are
ratios of mails per second within one run; the absolute numbers depend on the machine. See README.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import sleep

import psutil  # type: ignore[import-untyped]
import psycopg

from bench.flush_site import Child, Ready, Run, Site, check_sink, ready_mails
from bench.support import add_warm_up, databases, say, table, tell
from config import ROOT
from tests.support.databases import KINDS

TARGETS_TO_FLOOR = {20: 0.6, 100: 0.9}
"""The least ratio to the floor, by the milliseconds that the server takes for a mail."""
TARGET_TO_PEER = 1.5
TARGETS_TWO_WORKERS = {"20 ms": 1.7, "at once": 1.0}
TARGET_GROWTH = 0.05

_LOOKS_A_SECOND = 10
_CEILING_MAILS = 5000
_CEILING_MOST_ROUNDS = 10


# The peer


def peer_python(base: str) -> str | None:
    """The Python of a virtual environment with django-post-office, made by the interpreter `base`.

    Returns None, after a message that says why, if the installation fails.
    """
    listed = (ROOT / "bench" / "requirements-peers.txt").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        version = subprocess.run([base, "-VV"], check=True, capture_output=True).stdout
        folder = cache / "imported-clients-bench" / sha256(listed + version).hexdigest()[:12]
        python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            tell("installing django-post-office …")
            subprocess.run([base, "-m", "venv", "--clear", str(folder)], check=True, capture_output=True)
            command = [
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--only-binary=:all:",
            ]
            subprocess.run(
                [*command, "-r", "bench/requirements-peers.txt"], cwd=ROOT, check=True, capture_output=True, timeout=300
            )
            (folder / "complete").touch()
    except (OSError, subprocess.SubprocessError) as error:
        tell(f"django-post-office is left out: it cannot be installed ({type(error).__name__})")
        return None
    return str(python)


@contextmanager
def peer(python: str, site: Site, ready: Ready, folder: Path) -> Iterator[Child]:
    home = folder / "peer"
    home.mkdir()
    command = [python, "bench/peer_post_office.py", str(site.sink.hello["port"]), str(ready.parts), str(home)]
    if site.database.kind == "postgresql":
        with psycopg.connect(site.database.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE peer")
            command += [connection.info.host, "peer", connection.info.user]
    with Child(command) as child:
        yield child


# Measuring

Case = Callable[[], Run]


@dataclass(frozen=True)
class Comparison:
    name: str
    one: str
    other: str
    target: float


def measure(kind: str, options: argparse.Namespace) -> list[list[str]]:
    """Run all cases on one kind of database. Prints JSON, and returns the same results as lines for the table."""
    with databases(kind) as make, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        sink = stack.enter_context(Child(["-m", "bench.sink"]))
        site = Site(make("flush"), sink)
        stack.callback(site.close)
        workers: list[Child] = []

        def worker(connections: int) -> Child:
            workers.append(stack.enter_context(site.worker(connections)))
            return workers[-1]

        few, many, second = [worker(4)], [worker(16)], [worker(4)]
        ready = ready_mails(site, few[0], options.mails, folder)
        floor = stack.enter_context(Child(["-m", "bench.raw_smtp", str(sink.hello["port"]), str(ready.whole)]))
        lines = [ceiling(kind, ready, floor, sink)]

        def by_floor(connections: int, latency: float) -> Case:
            return lambda: ready.send(floor, sink, connections, latency)

        def by_ours(its: Sequence[Child], latency: float) -> Case:
            return lambda: site.flush(its, options.mails, latency)

        cases: dict[str, Case] = {}
        comparisons = []
        for milliseconds, target in TARGETS_TO_FLOOR.items():
            name = f"{milliseconds} ms, 16 connections"
            cases[f"{name}: floor"] = by_floor(16, milliseconds / 1000)
            cases[f"{name}: ours"] = by_ours(many, milliseconds / 1000)
            comparisons.append(Comparison(f"{name}: ours / floor", f"{name}: ours", f"{name}: floor", target))
        for connections, its in (4, few), (16, many):
            name = f"at once, {connections} connections"
            cases[f"{name}: floor"] = by_floor(connections, 0)
            cases[f"{name}: ours"] = by_ours(its, 0)
        cases["at once, two workers with 4 connections"] = by_ours([*few, *second], 0)
        cases["20 ms, one worker with 4 connections"] = by_ours(few, 0.02)
        cases["20 ms, two workers with 4 connections"] = by_ours([*few, *second], 0.02)
        for name, one in ("20 ms", "20 ms, one worker with 4 connections"), ("at once", "at once, 4 connections: ours"):
            two = f"{name}, two workers with 4 connections"
            comparisons.append(
                Comparison(f"{name}, 4 connections: two workers / one", two, one, TARGETS_TWO_WORKERS[name])
            )
        python = peer_python(options.peer_python) if options.peer else None
        if python is not None:
            django = stack.enter_context(peer(python, site, ready, folder))
            cases["at once: django-post-office"] = lambda: ready.send_by_peer(django, sink)
            comparisons.append(
                Comparison(
                    "at once, 4 connections: ours / django-post-office",
                    "at once, 4 connections: ours",
                    "at once: django-post-office",
                    TARGET_TO_PEER,
                )
            )
        started = statistics.median(one.start_seconds for one in workers)
        say({"figure": f"{kind}: start of a worker", "median": round(started * 1000), "unit": "ms"})
        lines.append([f"{kind}: start of a worker", f"{started * 1000:.0f} ms", "", ""])
        busy = os.getloadavg()[0] - 1  # without this process
        tell(f"{kind}: measuring{f', beside {busy:.0f} other busy processes' if busy > 1 else ''} …")
        lines += report(kind, rates_in_turns(kind, options, cases), comparisons)
    return lines


def ceiling(kind: str, ready: Ready, floor: Child, sink: Child) -> list[str]:
    """How many mails per second the sink can take from a client that only pushes."""
    rounds = min(max(3, _CEILING_MAILS // len(ready.recipients)), _CEILING_MOST_ROUNDS)
    runs = [ready.send(floor, sink, 16, 0, push=True) for _ in range(rounds)]
    rate = round(statistics.median(len(ready.recipients) / one.seconds for one in runs))
    name = f"{kind}: what the sink can take, mails of {ready.size / 1000:.1f} KB"
    say({"figure": name, "median": rate, "n": rounds, "unit": "mails a second"})
    return [name, f"{rate} /s", "", ""]


def rates_in_turns(kind: str, options: argparse.Namespace, cases: Mapping[str, Case]) -> dict[str, float]:
    """The median of mails per second for each case, measured A B C A B C …, after rounds that are not counted."""
    taken: dict[str, list[Run]] = {name: [] for name in cases}
    for turn in range(-options.warm_up, options.runs):
        for name, case in cases.items():
            run = case()
            if turn >= 0:
                taken[name].append(run)
    medians = {}
    for name, of_name in taken.items():
        rates = [options.mails / one.seconds for one in of_name]
        medians[name] = statistics.median(rates)
        say(
            {
                "figure": f"{kind}: {name}",
                "median": round(medians[name], 1),
                "min": round(min(rates), 1),
                "max": round(max(rates), 1),
                "n": len(rates),
                "unit": "mails a second",
                "sink busy": round(statistics.median(one.sink / one.seconds for one in of_name), 2),
            }
        )
    return medians


def report(kind: str, rates: Mapping[str, float], comparisons: Sequence[Comparison]) -> list[list[str]]:
    lines = [[f"{kind}: {name}", f"{rate:.0f} /s", "", ""] for name, rate in rates.items()]
    for comparison in comparisons:
        ratio = rates[comparison.one] / rates[comparison.other]
        name = f"{kind}: {comparison.name}"
        lines.append(verdict(name, round(ratio, 2), comparison.target, ratio > comparison.target))
    return lines


def verdict(name: str, value: float, target: float, met: bool) -> list[str]:
    say({"figure": name, "value": value, "target": target, "met": met})
    return [name, "", f"{value:g} / {target:g}", "yes" if met else "NO"]


# Memory


def memory(kind: str, mails: int) -> list[list[str]]:
    """How much the memory of one worker grows from the first tenth of a long flush to its end."""
    with databases(kind) as make, Child(["-m", "bench.sink"]) as sink:
        site = Site(make("long"), sink)
        with site.worker(4) as worker:
            recipients = site.queue(mails)
            tell(f"{kind}: sending {mails:,} mails …")
            sink.ask(do="reset", latency=0, keep=False)
            worker.tell(do="flush")
            process = psutil.Process(worker.pid)
            looks: list[tuple[int, int, int]] = []
            while (not looks or looks[-1][0] < mails) and process.status() != psutil.STATUS_ZOMBIE:
                looks.append((sink.ask(do="count")["mails"], process.memory_info().rss, process.num_fds()))
                sleep(1 / _LOOKS_A_SECOND)
            worker.answer()
        site.check(recipients)
        check_sink(sink, recipients)
        site.close()
    later = [look for look in looks if look[0] >= mails / 10]
    _, first, _ = later[0]
    _, last, _ = later[-1]
    # A file may be open only for a moment, so we compare maxima over tenths of the mails instead of single samples.
    early_files = max(files for sent, _, files in later if sent <= mails / 5)
    late_files = max(files for sent, _, files in later if sent >= mails * 0.9)
    growth = round(last / first - 1, 3)
    name = f"{kind}: {mails:,} mails"
    say({"figure": f"{name}, memory", "after a tenth": first, "at the end": last, "unit": "bytes"})
    say({"figure": f"{name}, open files", "in the second tenth": early_files, "in the last": late_files})
    return [
        [f"{name}, memory after a tenth", f"{first / 1e6:.1f} MB", "", ""],
        [f"{name}, memory at the end", f"{last / 1e6:.1f} MB", "", ""],
        verdict(f"{name}, growth of memory", growth, TARGET_GROWTH, growth <= TARGET_GROWTH),
        verdict(f"{name}, most open files in the last tenth", late_files, early_files, late_files <= early_files),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each case that are counted (default 5)")
    parser.add_argument("--mails", type=int, default=1000, help="mails of a run (default 1000)")
    add_warm_up(parser, 1)
    parser.add_argument(
        "--long", type=int, default=10_000, metavar="N", help="mails for memory (default 10,000; 0: no)"
    )
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="leave out django-post-office")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="run django-post-office by another Python: Django 6 wants 3.12"
    )
    parser.add_argument("--database", choices=KINDS, action="append", help="only this one (default both)")
    options = parser.parse_args()
    lines: list[list[str]] = []
    for kind in options.database or KINDS:
        if options.runs:
            lines += measure(kind, options)
        if options.long:
            lines += memory(kind, options.long)
    print(table(["", "median", "is / target", "met"], lines))


if __name__ == "__main__":
    main()
