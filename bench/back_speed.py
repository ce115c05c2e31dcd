"""How long Back takes from the history of a client to the table: with `no-store`, as we send our pages, and without.

A browser that keeps no such page in its back-forward cache asks us for it again. See README.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import Error

from app import create_app
from bench.support import ADMIN, PORTAL, Database, add_warm_up, databases, figure_of, say, table, tell
from config import load_settings
from tests.support import chromium, webdriver
from tests.support.browser import ic
from tests.support.factories import invite
from tests.support.listening import ScriptInPages
from tests.support.live import LiveServer

BROWSERS = ("chromium", "firefox")
_PATIENCE_SECONDS = 20

# When the page can be seen, and whether it is the one of before.
_TELL = b"""
addEventListener("pageshow", ({ persisted }) => {
  requestAnimationFrame(() => requestAnimationFrame(() => {
    sessionStorage.shown = JSON.stringify({ path: location.pathname, at: Date.now(), persisted });
  }));
});
"""
_SHOWN = "return JSON.parse(sessionStorage.shown || 'null')"
_GO_BACK = "sessionStorage.shown = ''; const now = Date.now(); setTimeout(() => history.back()); return now"


class Tab(Protocol):
    def go(self, address: str) -> None: ...

    def run(self, script: str) -> Any:
        """Run the body of a function in the page; None while the page is changing."""


@dataclass
class Back:
    milliseconds: float
    is_restored: bool
    """Whether the page came out of the back-forward cache."""


def measure(browser: str, runs: int, warm_up: int) -> list[list[str]]:
    with ExitStack() as stack:
        database = stack.enter_context(databases("sqlite"))("back")
        sites = {name: stack.enter_context(serving(database, name == "no-store")) for name in ("no-store", "without")}
        tab = stack.enter_context(_BROWSERS[browser](database.session_cookie.partition("=")[2], sites["without"][0]))
        taken: dict[str, list[Back]] = {name: [] for name in sites}
        for turn in range(-warm_up, runs):
            for name, (url, history) in sites.items():
                tell(f"{browser}: {name} …")
                back = go_there_and_back(tab, url, history)
                if turn >= 0:
                    taken[name].append(back)
        label = f"{browser}: Back"
        figures = {
            name: figure_of(f"{label}, {name}", [b.milliseconds for b in backs]) for name, backs in taken.items()
        }
        restored = {name: sum(back.is_restored for back in backs) for name, backs in taken.items()}
        say(
            {
                "figure": f"{label}, out of the cache",
                "value": restored["without"],
                "with_no_store": restored["no-store"],
            }
        )
        return [[f"{label}, {name}", f"{figures[name].median:.0f} ms", f"{restored[name]} of {runs}"] for name in sites]


def go_there_and_back(tab: Tab, url: str, history: str) -> Back:
    tab.go(url + ic(PORTAL))
    _shown(tab, ic(PORTAL))
    tab.go(url + history)
    _shown(tab, history)
    began = tab.run(_GO_BACK)
    shown = _shown(tab, ic(PORTAL))
    return Back(shown["at"] - began, shown["persisted"])


def _shown(tab: Tab, path: str) -> Any:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not ((shown := tab.run(_SHOWN)) and shown["path"] == path):
        assert time.monotonic() < deadline, f"{path} is not shown"
        time.sleep(0.01)
    return shown


@contextmanager
def serving(database: Database, has_no_store: bool) -> Iterator[tuple[str, str]]:
    """The application with 25 clients. Gives its address and the path of one's history."""
    server = LiveServer()
    app = create_app(load_settings(database.settings | {"PUBLIC_BASE_URL": server.url}))
    with app.app_context():
        for number in range(25):
            client = invite(PORTAL, f"c{number}@{server.port}.test", actor=ADMIN)
    answer = ScriptInPages(app.wsgi_app, _TELL)
    server.start(answer if has_no_store else without_no_store(answer))
    try:
        yield server.url, f"{ic(PORTAL)}/{client}/history"
    finally:
        server.stop()


def without_no_store(app: Any) -> Any:
    def answer(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]]) -> Any:
            return start_response(status, [(name, text.replace("no-store", "no-cache")) for name, text in headers])

        return app(environ, start)

    return answer


# The browsers


class _Chromium:
    def __init__(self, page: Any) -> None:
        self._page = page

    def go(self, address: str) -> None:
        self._page.goto(address)

    def run(self, script: str) -> Any:
        try:
            return self._page.evaluate(f"() => {{ {script} }}")
        except Error:
            return None


class _Firefox:
    def __init__(self, driver: webdriver.WebDriver) -> None:
        self._driver = driver

    def go(self, address: str) -> None:
        self._driver.do("Navigate", url=address)

    def run(self, script: str) -> Any:
        try:
            return self._driver.script(script)
        except webdriver.WebDriverError:
            return None


@contextmanager
def _in_chromium(session: str, url: str) -> Iterator[Tab]:
    # The headless shell has no such cache, and in a whole Chromium Playwright switches it off.
    whole = shutil.which("chromium")
    with chromium.launch(whole, channel="chromium", ignore_default_args=["--disable-back-forward-cache"]) as browser:
        page = browser.new_page()
        page.context.add_cookies([{"name": "session", "value": session, "url": url}])
        yield _Chromium(page)


@contextmanager
def _in_firefox(session: str, url: str) -> Iterator[Tab]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        driver = stack.enter_context(webdriver.firefox(webdriver.find_browsers()["firefox"], Path(folder)))
        # A cookie can be given only to a page of its host.
        driver.do("Navigate", url=f"{url}/healthz")
        driver.do("AddCookie", cookie={"name": "session", "value": session})
        yield _Firefox(driver)


_BROWSERS: dict[str, Callable[[str, str], Any]] = {"chromium": _in_chromium, "firefox": _in_firefox}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how often each way is measured (default 20)")
    add_warm_up(parser)
    parser.add_argument("--browser", choices=BROWSERS, action="append", help="only this one (default both)")
    options = parser.parse_args()
    lines: list[list[str]] = []
    for browser in options.browser or BROWSERS:
        lines += measure(browser, options.runs, options.warm_up)
    print(table(["until the table is shown", "median", "out of the cache"], lines))


if __name__ == "__main__":
    main()
