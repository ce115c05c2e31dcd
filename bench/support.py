"""Helpers for benchmarks: data, both databases, measuring in turns, and output of figures."""

from __future__ import annotations

import argparse
import atexit
import csv
import io
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from app import create_app
from app.extensions import db
from app.models import Role
from config import load_settings
from tests.support.browser import Browser
from tests.support.databases import PostgresqlDatabases, SqliteDatabases
from tests.support.factories import PASSWORD, make_member, make_portal

PORTAL = "harbour"
ADMIN = "ada@harbour.test"

_FIRST = ["Nord", "Blue", "Alpha", "Océan", "Grand", "Silver", "Hotel", "Prime", "Atlas", "Terra", "Vista", "Royal"]
_SECOND = ["Travel", "Resorts", "Holdings", "Logistics", "Partners", "Trading", "Media", "Foods", "Energy", "Studio"]
_THIRD = ["Ltd", "GmbH", "S.A.", "Inc.", "Oy", "B.V.", "& Sons", "Group", "LLC", "Pty"]


class Clients:
    """Generates names and addresses: different ones at each call, but the same sequence in every run."""

    def __init__(self) -> None:
        self._random = random.Random(7)
        self._made = 0

    def take(self, count: int) -> list[tuple[str, str]]:
        return [self._one() for _ in range(count)]

    def csv_file(self, count: int) -> bytes:
        """A client list as Excel saves it."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(["company_name", "email"])
        writer.writerows(self.take(count))
        return out.getvalue().encode()

    def _one(self) -> tuple[str, str]:
        self._made += 1
        choose, number = self._random.choice, self._made
        company = f"{choose(_FIRST)} {choose(_SECOND)} {choose(_THIRD)} {number}"
        host = choose(_FIRST).lower().replace("é", "e")
        return company, f"{choose(_SECOND).lower()}.{number}@{host}-{number % 9973}.example.org"


@dataclass(frozen=True)
class Database:
    """A migrated database with one portal and its client admin, who is signed in."""

    kind: str
    url: str
    admin: Browser

    @property
    def settings(self) -> dict[str, str]:
        return _settings_on(self.url)

    @property
    def session_cookie(self) -> str:
        """The value of the header `Cookie` that the admin's browser sends."""
        cookie = self.admin.client.get_cookie("session")
        assert cookie is not None
        return f"session={cookie.value}"


@contextmanager
def databases(kind: str) -> Iterator[Callable[[str], Database]]:
    """Yields a function that makes a named database of one kind. All of them are deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        source = _sqlite() if kind == "sqlite" else PostgresqlDatabases(folder / "server", "bench")

        def make(name: str) -> Database:
            url = source.copy(folder, name)
            return Database(kind, url, _furnish(url))

        try:
            yield make
        finally:
            if isinstance(source, PostgresqlDatabases):
                source.server.cleanup()


@cache
def _sqlite() -> SqliteDatabases:
    """What all databases of SQLite are copied from, migrated once."""
    folder = tempfile.mkdtemp(prefix="bench-")
    atexit.register(shutil.rmtree, folder)
    return SqliteDatabases(Path(folder))


def _settings_on(url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "SECRET_KEY": "a key for measuring and nothing else",
        "PUBLIC_BASE_URL": "http://clients.harbour.test",
    }


def _furnish(url: str) -> Browser:
    app = create_app(load_settings(_settings_on(url)))
    with app.app_context():
        make_portal(PORTAL, "Harbour Tours")
        make_member(PORTAL, ADMIN, "Ada Berg", Role.CLIENT_ADMIN)
    browser = Browser(app)
    assert browser.sign_in(ADMIN, PASSWORD).status_code == 303
    browser.csrf_token()
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    return browser


@dataclass(frozen=True)
class Figure:
    """The times of one case, by default in milliseconds."""

    figure: str
    median: float
    p95: float
    min: float
    max: float
    n: int
    unit: str = "ms"


WARM_UP = 2
"""Rounds that are not counted."""


def add_warm_up(parser: argparse.ArgumentParser, default: int = WARM_UP) -> None:
    parser.add_argument("--warm-up", type=int, default=default, help=f"rounds that are not counted (default {default})")


def add_forked(parser: argparse.ArgumentParser) -> None:
    """For tests that only want to see a benchmark run. Gives `fresh`."""
    parser.add_argument(
        "--forked", dest="fresh", action="store_false", help="fork the application's processes, which start quicker"
    )


def in_turns(
    label: str, runs: int, cases: Mapping[str, Callable[[], Callable[[], None]]], *, warm_up: int = WARM_UP
) -> dict[str, Figure]:
    """Measure A B C A B C …, after rounds of warm-up, so that a slowdown of the machine affects every case alike.

    A case prepares what it needs and returns the function to measure.
    """
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(-warm_up, runs):
        for name, case in cases.items():
            work = case()
            began = time.perf_counter()
            work()
            if turn >= 0:
                taken[name].append((time.perf_counter() - began) * 1000)
    return {name: figure_of(f"{label}: {name}", times) for name, times in taken.items()}


def figure_of(name: str, times: Sequence[float]) -> Figure:
    """The figure of these times in milliseconds, which is printed."""
    figure = Figure(
        name,
        median=round(statistics.median(times), 2),
        p95=round(sorted(times)[math.ceil(0.95 * len(times)) - 1], 2),
        min=round(min(times), 2),
        max=round(max(times), 2),
        n=len(times),
    )
    say(asdict(figure))
    return figure


def say(line: Mapping[str, object]) -> None:
    """Print a line of JSON."""
    print(json.dumps(line), flush=True)


def tell(text: str) -> None:
    """Print a message for the person who waits. It goes to stderr and is not part of the output."""
    print(text, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The results as a table for people: the first column is aligned left, the numbers right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )
