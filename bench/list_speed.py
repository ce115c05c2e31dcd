"""How long the Imported Clients table takes: by the size of the portal, of the table, and beside a bare page.

Measured on a running gunicorn with the session of a signed-in admin. The results are ratios within one run, and for a
search the limit up to which people perceive an answer as immediate. Other times depend on the machine. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from html import unescape
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

from flask import Flask
from sqlalchemy import Row, Select, select

from app import create_app
from app.clients.list_params import Cursor, Health, SortColumn, TableView
from app.extensions import db
from app.models import ClientStatus, ImportedClient
from bench.portals import fill
from bench.support import PORTAL, Database, add_forked, add_warm_up, databases, in_turns, say, table, tell
from config import ROOT, load_settings
from tests.support.browser import ic
from tests.support.databases import KINDS
from tests.support.production import PATIENCE_SECONDS, gunicorn

SEARCHED, AMONG = "searched", "among"
"""The portals besides the large one."""
SEARCHED_ROWS, FEW_ROWS = 100_000, 10_000

TARGET_LARGE = 2.0
TARGET_SEARCH_MS = 150
TARGET_AMONG_OTHERS = 1.5
TARGET_TO_BARE = 0.2

_BY = ("median", "p95")
_CONNECTIONS = 4
_RUNS_IN_LARGE = 10
"""The runs of a search through the large portal, for which there is no target."""

_FROM_HTMX = {"HX-Request": "true", "Accept": "text/html", "Accept-Encoding": "gzip, deflate, br, zstd"}
_FROM_BROWSER = {"Accept": "text/html", "Accept-Encoding": "gzip, deflate, br, zstd"}

ORDERS = {
    "newest first": {},
    "oldest first": {"descending": False},
    "by company name": {"sort": SortColumn.COMPANY_NAME, "descending": False},
    "by e-mail": {"sort": SortColumn.EMAIL, "descending": False},
    "by status": {"sort": SortColumn.STATUS, "descending": False},
    "by e-mail last sent": {"sort": SortColumn.EMAIL_LAST_SENT},
}
FILTERS = {
    "all": {},
    **{str(status): {"statuses": frozenset({status})} for status in ClientStatus},
    **{str(health): {"health": health} for health in Health},
}
VIEWS = {
    f"{filter_name}, {order}": TableView(**narrowed, **ordered)  # type: ignore[arg-type]
    for filter_name, narrowed in FILTERS.items()
    for order, ordered in ORDERS.items()
}
"""Some matches are rare.

Waiting clients are among the newest, so with the oldest first they are the hardest to find.
"""
IN_THE_MIDDLE = [name for name in VIEWS if name.startswith("all, ")] + ["joined, newest first"]
_KEYS = {
    SortColumn.COMPANY_NAME: ImportedClient.company_name_folded,
    SortColumn.EMAIL: ImportedClient.email,
    SortColumn.EMAIL_LAST_SENT: ImportedClient.email_last_sent_at,
    SortColumn.STATUS: ImportedClient.status,
}

Case = Callable[[], Callable[[], None]]


@dataclass(frozen=True)
class Site:
    """A database with the application on it, and the number of clients in each of its portals."""

    database: Database
    sizes: Mapping[str, int]
    port: int

    def page(self, portal_id: str) -> Case:
        """Measures the whole page, as a browser requests it."""
        return self._case(ic(portal_id), _FROM_BROWSER, 25)

    def table(self, portal_id: str, view: TableView, expected: int | None = 25) -> Case:
        """Measures the table, as htmx requests it."""
        return self._case(table_path(portal_id, view), _FROM_HTMX, expected)

    def middle(self, portal_id: str, view: TableView) -> Case:
        """Measures the page that begins in the middle of a view."""
        key = _KEYS.get(view.sort, ImportedClient.id)
        query = select(key, ImportedClient.id).where(ImportedClient.portal_id == portal_id)
        rows = self.sizes[portal_id] // 2
        if view.statuses:
            query = query.where(ImportedClient.status.in_(view.statuses))
            rows //= 2  # about half of them have joined
        order = [column.desc() if view.descending else column for column in (key, ImportedClient.id)]
        value, client_id = self.read(query.order_by(*order).offset(rows).limit(1))
        cursor = Cursor(None if view.sort is SortColumn.CREATED else value, client_id)
        return self.table(portal_id, replace(view, cursor=cursor))

    def seen_path(self, portal_id: str) -> str:
        """The URL that an open page polls for news."""
        headers = {"Cookie": self.database.session_cookie, **_FROM_HTMX, "Accept-Encoding": "identity"}
        fragment = answer(self.port, table_path(portal_id, TableView()), headers).decode()
        found = re.search(r'id="imported-clients" hx-get="([^"]+)"', fragment)
        assert found
        return unescape(found[1])

    def searches(self, portal_id: str) -> dict[str, Case]:
        """Searches in a portal. The rare terms belong to its oldest client, which a search finds last."""
        oldest = select(ImportedClient.company_name, ImportedClient.email).where(ImportedClient.portal_id == portal_id)
        name, email = self.read(oldest.order_by(ImportedClient.id).limit(1))
        views = {
            "a common name": (TableView(company_name="Travel"), 25),
            "a rare name": (TableView(company_name=name.upper()), None),
            "an absent name": (TableView(company_name="nobody is called so"), 0),
            "a common address": (TableView(email="trading."), 25),
            "a rare address": (TableView(email=email), None),
            "an absent address": (TableView(email="nobody@nowhere.example"), 0),
        }
        return {term: self.table(portal_id, view, expected) for term, (view, expected) in views.items()}

    def read(self, query: Select[Any, Any]) -> Row[Any, Any]:
        with self._app.app_context():
            row = db.session.execute(query).one()
            db.session.remove()
            db.engine.dispose()
        return row

    @cached_property
    def _app(self) -> Flask:
        return create_app(load_settings(self.database.settings))

    def _case(self, path: str, headers: Mapping[str, str], expected: int | None) -> Case:
        headers = {"Cookie": self.database.session_cookie, **headers}
        plain = answer(self.port, path, {**headers, "Accept-Encoding": "identity"})
        rows = plain.count(b"data-client-id=")
        # In portals as small as those of a smoke test, rare matches may not exist at all.
        least = 1 if max(self.sizes.values()) >= FEW_ROWS else 0
        assert rows == expected if expected is not None else least <= rows <= 25, f"{rows} rows at {path}"

        return lambda: lambda: drop(answer(self.port, path, headers))


def drop(_answer: bytes) -> None:
    """Discard an answer, whose content is not measured."""


def table_path(portal_id: str, view: TableView) -> str:
    return f"{ic(portal_id)}/table?{urlencode(view.query(), doseq=True)}"


def answer(port: int, path: str, headers: Mapping[str, str]) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        assert response.status == 200, response.status
        return response.read()
    finally:
        connection.close()


@dataclass(frozen=True)
class Comparison:
    """Two cases, and the largest allowed ratio of `one` to `other` for each of the numbers `by`."""

    name: str
    one: Case
    other: Case
    target: float
    by: tuple[str, ...]


def measure(kind: str, options: argparse.Namespace) -> list[list[str]]:
    """Run all cases on one kind of database. Prints JSON, and returns the same results as lines for the table."""
    rows = options.rows
    contents = {
        "full": {PORTAL: rows, SEARCHED: min(rows, SEARCHED_ROWS), AMONG: min(rows, FEW_ROWS)},
        "few": {PORTAL: min(rows, FEW_ROWS)},
    }
    with databases(kind) as make, ExitStack() as stack:

        def site_with(name: str) -> Site:
            database = make(name)
            fill(database, contents[name])
            return Site(database, contents[name], stack.enter_context(gunicorn(database.settings, fresh=options.fresh)))

        tell(f"{kind}: loading {sum(contents['full'].values()):,} clients …")
        full, few = map(site_with, contents)
        busy = os.getloadavg()[0] - 1  # without this process
        beside = f", beside {busy:.0f} other busy processes, of whom p95 will tell" if busy > 1 else ""
        tell(f"{kind}: measuring{beside} …")
        return [*latencies(kind, full, few, options), *throughput(kind, few, options)]


def latencies(kind: str, full: Site, few: Site, options: argparse.Namespace) -> list[list[str]]:
    """How long one person waits while nobody else uses the application."""
    runs, warm_up = options.runs, options.warm_up
    views = {name: view for name, view in VIEWS.items() if options.views in name}
    comparisons = []
    for portal_id, label, target in [(PORTAL, "large", TARGET_LARGE), (AMONG, "among others", TARGET_AMONG_OTHERS)]:
        pairs = {"whole page": (full.page(portal_id), few.page(PORTAL))}
        for name, view in views.items():
            pairs[name] = (full.table(portal_id, view, None), few.table(PORTAL, view, None))
        for name in [name for name in IN_THE_MIDDLE if name in views]:
            view = views[name]
            pairs[f"{name}, in the middle"] = (full.middle(portal_id, view), few.middle(PORTAL, view))
        comparisons += [Comparison(f"{label}: {name}", *pair, target, _BY) for name, pair in pairs.items()]

    cases: dict[str, Case] = {}
    for comparison in comparisons:
        cases[f"{comparison.name} (beside)"] = comparison.other
        cases[comparison.name] = comparison.one
    searches = {f"search for {term}": case for term, case in full.searches(SEARCHED).items()}
    figures = in_turns(kind, runs, cases | searches, warm_up=warm_up)
    in_large = {f"search of {full.sizes[PORTAL]:,} for {term}": case for term, case in full.searches(PORTAL).items()}
    figures |= in_turns(kind, min(runs, _RUNS_IN_LARGE), in_large, warm_up=warm_up)

    lines = [[taken.figure, f"{taken.median:.1f} ms", f"{taken.p95:.1f} ms", "", ""] for taken in figures.values()]
    for comparison in comparisons:
        one, other = figures[comparison.name], figures[f"{comparison.name} (beside)"]
        for by in comparison.by:
            ratio = round(getattr(one, by) / getattr(other, by), 2)
            lines.append(
                verdict(f"{kind}: {comparison.name}, {by}", ratio, comparison.target, ratio <= comparison.target)
            )
    for name in searches:
        p95 = figures[name].p95
        lines.append(verdict(f"{kind}: {name}, p95 in ms", p95, TARGET_SEARCH_MS, p95 < TARGET_SEARCH_MS))
    return lines


def throughput(kind: str, site: Site, options: argparse.Namespace) -> list[list[str]]:
    """How many answers per second the application gives, beside a page that only shows the same rows."""
    runs = options.runs
    with ExitStack() as stack:
        bare, nothing = (
            stack.enter_context(gunicorn(site.database.settings, app=f"bench.bare_list:{name}", fresh=options.fresh))
            for name in ("app", "nothing")
        )
        asked = {
            "bare page": (bare, f"/portals/{PORTAL}", _FROM_BROWSER),
            "table": (site.port, table_path(PORTAL, TableView()), _FROM_HTMX),
            "table, nothing new": (site.port, site.seen_path(PORTAL), _FROM_HTMX),
            "whole page": (site.port, ic(PORTAL), _FROM_BROWSER),
            "nothing at all": (nothing, "/", _FROM_BROWSER),
        }
        cookie = {"Cookie": site.database.session_cookie}
        rates: dict[str, list[float]] = {name: [] for name in asked}
        for turn in range(-min(options.warm_up, 1), max(min(runs, 3), runs // 8)):
            for name, (port, path, headers) in asked.items():
                rate = ask_on(port, path, cookie | headers, options.seconds)
                if turn >= 0:
                    rates[name].append(rate)
    lines = []
    for name, of_name in rates.items():
        median = round(statistics.median(of_name), 1)
        say(
            {
                "figure": f"{kind}: {name}",
                "median": median,
                "min": round(min(of_name), 1),
                "max": round(max(of_name), 1),
                "n": len(of_name),
                "unit": "answers a second",
            }
        )
        lines.append([f"{kind}: {name}", f"{median:.0f} /s", "", "", ""])
    ratio = round(statistics.median(rates["table, nothing new"]) / statistics.median(rates["bare page"]), 3)
    return [
        *lines,
        verdict(
            f"{kind}: table, nothing new / bare page, answers a second", ratio, TARGET_TO_BARE, ratio >= TARGET_TO_BARE
        ),
    ]


def ask_on(port: int, path: str, headers: Mapping[str, str], seconds: float) -> float:
    """The answers per second to a client process that keeps connections open and never pauses between requests."""
    command = [
        sys.executable,
        "-m",
        "bench.load",
        str(port),
        str(seconds),
        str(_CONNECTIONS),
        path,
        json.dumps(headers),
    ]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def verdict(name: str, value: float, target: float, met: bool) -> list[str]:
    say({"figure": name, "value": value, "target": target, "met": met})
    return [name, "", "", f"{value:g} / {target:g}", "yes" if met else "NO"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="clients of the large portal (default a million)")
    parser.add_argument("--runs", type=int, default=60, help="runs of each case that are counted (default 60)")
    parser.add_argument("--seconds", type=float, default=2.0, help="for which answers are counted, a turn (default 2)")
    parser.add_argument("--database", choices=KINDS, action="append", help="only this one (default both)")
    parser.add_argument("--views", default="", metavar="WORDS", help="only the views with these words in their name")
    add_warm_up(parser)
    add_forked(parser)
    options = parser.parse_args()
    lines: list[list[str]] = []
    for kind in options.database or KINDS:
        lines += measure(kind, options)
    print(table(["", "median", "p95", "is / target", "met"], lines))


if __name__ == "__main__":
    main()
