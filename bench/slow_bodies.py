"""What others wait for while a hundred clients send a body of a byte a second, to gunicorn as the README starts it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import monotonic, perf_counter, sleep

from bench.support import PORTAL, add_forked, add_warm_up, databases, say, table, tell
from tests.support.browser import ic
from tests.support.databases import KINDS
from tests.support.production import Visitor, gunicorn
from tests.support.slow_clients import SlowClient, dripping, head

TARGET_SECONDS = 2.0
_PAUSE_SECONDS = 0.1
_SLOW = head("POST", "/login", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 100000")


def measure(kind: str, options: argparse.Namespace) -> list[list[str]]:
    """Measure the worst answers without and with slow bodies, and how many slow bodies were answered 408."""
    bodies, seconds = options.bodies, options.seconds
    with databases(kind) as make:
        database = make("slow")
        with gunicorn(database.settings, workers=2, fresh=options.fresh) as port:
            visitor = Visitor(port, database.admin)
            asked = {"/healthz": "/healthz", "signed-in page": ic(PORTAL)}
            for _ in range(options.warm_up):  # so that each worker is warmed up
                worst(visitor, asked, 0)
            tell(f"{kind}: nobody is slow, for {seconds / 3:.0f} s …")
            alone = worst(visitor, asked, seconds / 3)
            tell(f"{kind}: {bodies} slow bodies, for {seconds:.0f} s …")
            with dripping(port, bodies, _SLOW) as clients:
                beside = worst(visitor, asked, seconds)
                answered = refused_in_time(clients) if seconds >= 30 else None
    lines = []
    for name in asked:
        met = beside[name] <= TARGET_SECONDS
        ratio = round(beside[name] / alone[name], 2)
        say(
            {
                "figure": f"{kind}: {name}, worst of {seconds:.0f} s with {bodies} slow bodies",
                "value": round(beside[name] * 1000, 1),
                "unit": "ms",
                "without": round(alone[name] * 1000, 1),
                "ratio": ratio,
                "target": TARGET_SECONDS * 1000,
                "met": met,
            }
        )
        lines.append(
            [
                f"{kind}: {name}",
                f"{beside[name] * 1000:.0f} ms",
                f"{alone[name] * 1000:.0f} ms",
                f"{ratio:g}",
                "yes" if met else "NO",
            ]
        )
    if answered is not None:
        say({"figure": f"{kind}: slow bodies answered 408", "value": answered, "target": bodies})
        lines.append([f"{kind}: bodies answered 408", str(answered), "", "", "yes" if answered == bodies else "NO"])
    return lines


def worst(visitor: Visitor, asked: dict[str, str], seconds: float) -> dict[str, float]:
    """The longest time of each request, in seconds, when they are repeated in turn for so many seconds."""
    longest = dict.fromkeys(asked, 0.0)
    end = monotonic() + seconds
    while True:
        for name, path in asked.items():
            longest[name] = max(longest[name], taken_by(lambda path=path: visitor.get(path).status))  # type: ignore[misc]
        if monotonic() >= end:
            return longest
        sleep(_PAUSE_SECONDS)


def taken_by(ask: Callable[[], int]) -> float:
    began = perf_counter()
    status = ask()
    assert status == 200, status
    return perf_counter() - began


def refused_in_time(clients: list[SlowClient]) -> int:
    return sum(client.answer().status == 408 for client in clients)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=int, default=100, help="how many are slow (default 100)")
    parser.add_argument("--seconds", type=float, default=30, help="for how long (default 30)")
    parser.add_argument("--database", choices=KINDS, action="append", help="only this one (default both)")
    add_warm_up(parser, 10)
    add_forked(parser)
    options = parser.parse_args()
    lines: list[list[str]] = []
    for kind in options.database or KINDS:
        lines += measure(kind, options)
    print(table(["worst answer", "with slow bodies", "without", "ratio", "at most 2 s"], lines))


if __name__ == "__main__":
    main()
