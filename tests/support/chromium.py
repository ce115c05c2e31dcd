"""A person at a real browser: Chromium, each person with cookies of their own, and everything it complains about."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, TimeoutError, expect, sync_playwright

from config import ROOT
from tests.support.browser import Browser as HeadlessBrowser
from tests.support.browser import ic
from tests.support.factories import PASSWORD

SECONDS = 1000
PATIENCE = 10 * SECONDS
"""How long to wait for what must come: for a machine that is busy, not for the application."""

_TELL_OF_CSP = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP: ${event.violatedDirective} forbids ${event.blockedURI} in ${event.sourceFile}`);
});
"""


def find_chromium() -> str:
    """The path of a Chromium that starts; without one the test fails with a line that says what to do."""
    found = subprocess.run(
        [ROOT / "scripts" / "ensure_chromium.sh", "--find"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.fail(found.stderr.strip(), pytrace=False)
    return found.stdout.strip()


@contextmanager
def launch(path: str | None = None, **options: Any) -> Iterator[Browser]:
    """Chromium itself, the one at this path or the one that is found; contexts of it are cheap."""
    # Its sandbox does not work for root, which is what containers run as.
    args = ["--no-sandbox"] if os.geteuid() == 0 else []
    # Before Playwright's driver is started, for that may be what is missing.
    path = path or find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=args, **options)
        yield browser
        browser.close()


_STANDS_BEFORE_THE_FOCUS = """
element => document.activeElement.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_PRECEDING
"""
_QUIET_PLACE = "/healthz"
"""Nothing happens there, and Chromium need not start another process for it, as it does for about:blank."""
_DESKTOP = 1280


class Person:
    """One person at a browser of their own. Addresses are paths below `url`, or whole links out of a mail."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.url = url
        self.context = browser.new_context(
            base_url=url,
            viewport={"width": _DESKTOP, "height": 900},
            # Colours that are on their way from one to another are no colours to judge.
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(PATIENCE)
        self.context.add_init_script(_TELL_OF_CSP)
        self.page = self.context.new_page()
        self._expected: list[str] = []
        self._complaints: list[str] = []
        self.context.on("console", self._on_console)
        self.context.on("weberror", lambda uncaught: self._complaints.append(f"uncaught: {uncaught.error}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._complaints.append(message.text)

    def expects(self, what: int | str) -> None:
        """This test means some request to be answered with this status, or to end with this error of the network.

        The person reads a sentence about it; Chromium's console remarks on it, and for an error htmx does too.
        """
        if isinstance(what, int):
            self._expected.append(f"the server responded with a status of {what} ")
        else:
            self._expected += [f"net::{what}", "htmx:error: Failed to fetch"]

    def expects_of_console(self, words: str) -> None:
        """This test means Chromium to say something with these words."""
        self._expected.append(words)

    @property
    def complaints(self) -> list[str]:
        """Whatever Chromium found wrong with our pages and is not expected: errors of scripts, CSP, what is missing."""
        return [said for said in self._complaints if not any(known in said for known in self._expected)]

    def all_complaints(self) -> list[str]:
        """The same, with those that are still on their way from Chromium."""
        for page in self.context.pages:
            page.evaluate("0")
        return self.complaints

    def leave(self) -> None:
        self.context.close()

    def forgets_everything(self) -> None:
        """Be as somebody who comes for the first time, in the same window."""
        for other in set(self.context.pages) - {self.page}:
            other.close()
        self.page.unroute_all()
        self.context.unroute_all()
        self.page.goto(_QUIET_PLACE)
        self.page.evaluate("localStorage.clear(), sessionStorage.clear()")
        self.page.mouse.move(0, 0)
        self.looks(_DESKTOP)
        self.page.emulate_media(reduced_motion="reduce", contrast="null", forced_colors="null")
        self.context.clear_cookies()
        self._expected.clear()
        self._complaints.clear()

    # What a person does

    def is_signed_in_as(self, other: HeadlessBrowser) -> None:
        """Take over the session that a browser without windows has begun."""
        cookie = other.client.get_cookie("session")
        assert cookie is not None
        self.context.add_cookies([{"name": "session", "value": cookie.value, "url": self.url, "httpOnly": True}])

    def looks(self, width: int, scheme: Literal["light", "dark"] = "light") -> None:
        """Look with a window as wide as that, by day or by night."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)

    @contextmanager
    def in_another_tab(self) -> Iterator[None]:
        """Do something in a second tab of the same browser, and come back to the first."""
        first, self.page = self.page, self.context.new_page()
        yield
        self.page.close()
        self.page = first

    def open(self, address: str) -> None:
        self.page.goto(address)

    def sign_in(self, email: str, password: str = PASSWORD) -> None:
        self.open("/login")
        self.fill_in_sign_in(email, password)

    def fill_in_sign_in(self, email: str, password: str = PASSWORD) -> None:
        """Sign in on the page that asks for it."""
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.press("Sign in")
        self.page.wait_for_url(lambda address: "/login" not in address)

    def open_imported_clients(self, portal_id: str, **filters: str) -> None:
        self.open(f"{ic(portal_id)}?{urlencode(filters)}" if filters else ic(portal_id))

    def press(self, name: str) -> None:
        """Press the button of this name, wherever it is."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def choose(self, item: str) -> None:
        """Open the menu Add Client and take one of its items."""
        self.press("Add Client")
        self.menu.get_by_role("link", name=item, exact=True).click()

    def type_client(self, company_name: str, email: str) -> None:
        """Fill in the dialog Manual Add."""
        self.dialog.get_by_label("Company Name").fill(company_name)
        self.dialog.get_by_label("Email Address").fill(email)

    def lets_the_table_ask(self) -> None:
        """As it does now and then. htmx hears it only some moments after the page is there."""
        for _ in range(20):
            try:
                with self.page.expect_request("**/table?*", timeout=SECONDS / 2):
                    self.page.locator("#imported-clients").dispatch_event("live-tick", {"bubbles": False})
            except TimeoutError:
                continue
            return
        raise AssertionError("the table does not ask")

    def tick(self, *emails: str) -> None:
        """Tick the boxes of these rows."""
        for email in emails:
            self.row(email).get_by_role("checkbox").check()

    def open_history(self, email: str) -> None:
        """Press the company's name."""
        self.cell(email, "company_name").get_by_role("link").click()

    def looks_away(self) -> None:
        """Have the tab hidden, and each frame in it, so that it does not ask for news."""
        for frame in self.page.frames:
            frame.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
            # What was asked before may still be answered.
            expect(frame.locator(".htmx-request")).to_have_count(0)

    def looks_again(self) -> None:
        for frame in self.page.frames:
            frame.evaluate("delete document.hidden")

    def tab_to(self, target: Locator, presses: int = 60) -> None:
        """Press Tab until the target has the focus, or Shift+Tab if it stands before the place where one is."""
        element = target.element_handle()
        key = "Shift+Tab" if element.evaluate(_STANDS_BEFORE_THE_FOCUS) else "Tab"
        for _ in range(presses):
            if element.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press(key)
            if not element.evaluate("element => element.isConnected"):
                element = target.element_handle()  # the table has refreshed itself
        raise AssertionError(f"{target} cannot be reached with the Tab key")

    # What a person sees

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def menu(self) -> Locator:
        return self.page.locator("#add-client-menu")

    @property
    def panel(self) -> Locator:
        """The side panel with a client's history."""
        return self.page.locator("#panel")

    @property
    def filters(self) -> Locator:
        return self.page.get_by_role("form", name="Filter", exact=True)

    @property
    def chips(self) -> Locator:
        return self.page.get_by_role("link", name="Remove filter")

    @property
    def result_count(self) -> Locator:
        return self.page.get_by_role("status").and_(self.page.locator("#result-count"))

    @property
    def selection(self) -> Locator:
        """The bar below the table: what can be done with the ticked rows."""
        return self.page.get_by_role("form", name="Selected clients")

    @property
    def addresses(self) -> Locator:
        """Of all rows, in their order."""
        return self.rows.locator("[data-col=email]")

    @property
    def place(self) -> Locator:
        """What has the focus; nothing, while only the page as a whole has it."""
        return self.page.locator(":focus")

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    @property
    def rows(self) -> Locator:
        return self.page.locator("#imported-clients-table tr[data-client-id]")

    def row(self, email: str) -> Locator:
        return self.rows.filter(has=self.page.locator("[data-col=email]", has_text=email))

    def cell(self, email: str, column: str) -> Locator:
        return self.row(email).locator(f"[data-col={column}]")

    def button(self, email: str, name: str) -> Locator:
        """A button of a row."""
        return self.row(email).get_by_role("button", name=name, exact=True)

    def scrolls_sideways(self) -> bool:
        """Whether the page is wider than the window."""
        wider = self.page.evaluate("document.scrollingElement.scrollWidth > document.documentElement.clientWidth")
        assert isinstance(wider, bool)
        return wider


AnyPerson = TypeVar("AnyPerson", bound=Person)


class Windows(Generic[AnyPerson]):
    """Windows of people who have left, for those who come next: to open one takes Chromium longer than to show a page.

    Whatever cannot be taken back from a window, such as another clock or another script in each page, is for windows
    that nobody else gets: it keeps none.
    """

    def __init__(self, browser: Browser, kind: type[AnyPerson], *, keeps: bool = True) -> None:
        self._browser = browser
        self._kind = kind
        self._keeps = keeps
        self._free: dict[str, list[AnyPerson]] = {}

    def take(self, url: str) -> AnyPerson:
        free = self._free.get(url)
        return free.pop() if free else self._kind(self._browser, url)

    def give_back(self, person: AnyPerson) -> None:
        if not self._keeps:
            person.leave()
            return
        try:
            person.forgets_everything()
        except Error:
            person.leave()  # after a test that has failed with its server gone
        else:
            self._free.setdefault(person.url, []).append(person)

    def close(self) -> None:
        for free in self._free.values():
            for person in free:
                person.leave()
