"""Somebody at a page that shows us: in the page itself, or in a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, FilePayload, FrameLocator, Locator, Page

from tests.support.chromium import Person, Windows
from tests.support.live import LiveServer

Way = Literal["inline", "framed"]

# What depends on how much room there is, and on the rest of the page; and the scheme, which ours takes from the host.
STYLES_OF = """(element) => {
  const style = getComputedStyle(element);
  const names = [...style].filter((name) => !/^--|width|height|block-size|inline-size|origin|inset|scheme/.test(name) &&
    !["left", "right", "top", "bottom"].includes(name));
  return Object.fromEntries(names.map((name) => [name, style[name]]));
}"""
_SET_TOKENS = """(element) => {
  element.style.setProperty("--imported-clients-accent", "#ff8800");
  element.style.setProperty("--imported-clients-radius", "url(x)");
}"""
_KEEP_WHAT_IS_TOLD = """
window.told = []; window.leaked = []; window.own = [];
for (const name of ["ready", "navigate", "session-ended"]) {
  addEventListener(`imported-clients:${name}`, ({ detail }) => told.push([name, detail?.view ?? null]));
}
for (const name of ["configRequest", "beforeSwap", "afterRequest", "afterSwap", "load", "responseError",
    "config:request", "before:swap", "after:request", "after:swap", "after:process", "response:error"]) {
  addEventListener(`htmx:${name}`, ({ target }) => {
    if (target.localName === "imported-clients") leaked.push(name);
    if (target.id === "own") own.push(name);
  });
}
"""


class Inside:
    """What of ours is inside the page."""

    def __init__(self, place: Locator | FrameLocator, page: Page) -> None:
        self.place = place
        self.page = page

    @property
    def dialog(self) -> Locator:
        return self.place.get_by_role("dialog")

    @property
    def rows(self) -> Locator:
        return self.place.locator("tr[data-client-id]")

    def row(self, text: str) -> Locator:
        return self.rows.filter(has_text=text)

    def press(self, name: str) -> None:
        self.place.get_by_role("button", name=name, exact=True).click()

    def choose(self, item: str) -> None:
        self.press("Add Client")
        self.place.locator("#add-client-menu").get_by_role("link", name=item, exact=True).click()

    def upload(self, file: bytes | Path) -> None:
        """Import a file: a small one by its content, or a large one that is on the disk."""
        self.dialog.get_by_label("CSV file").set_input_files(
            file if isinstance(file, Path) else FilePayload(name="clients.csv", mimeType="text/csv", buffer=file)
        )
        self.dialog.get_by_role("button", name="Import", exact=True).click()


class Visitor(Person):
    """Somebody at a page of the shell. Kept is what our events told it, and which htmx events it came to hear."""

    def __init__(self, browser: Browser, url: str) -> None:
        super().__init__(browser, url)
        self.context.add_init_script(_KEEP_WHAT_IS_TOLD)
        self.downloads: list[str] = []
        self.context.on("page", self._watch_downloads)
        self._watch_downloads(self.page)

    def _watch_downloads(self, page: Page) -> None:
        page.on("download", lambda download: self.downloads.append(download.suggested_filename))

    def forgets_everything(self) -> None:
        super().forgets_everything()
        self.downloads.clear()
        # It has an end, at which one more page would not make it longer.
        developer = self.context.new_cdp_session(self.page)
        developer.send("Page.resetNavigationHistory")
        developer.detach()

    @property
    def element(self) -> Locator:
        return self.page.locator("imported-clients")

    @property
    def inline(self) -> Inside:
        return Inside(self.element, self.page)

    @property
    def framed(self) -> Inside:
        return Inside(self.page.frame_locator("imported-clients > iframe"), self.page)

    def inside(self, way: Way) -> Inside:
        return self.framed if way == "framed" else self.inline

    def told(self, name: str) -> list[Any]:
        return [detail for said, detail in self.page.evaluate("told") if said == name]

    def styles(self) -> Any:
        """How everything of the page's own looks."""
        return self.page.evaluate(
            f"""() => [...document.querySelectorAll("html, body, #host, #host *")].map({STYLES_OF})"""
        )

    def sets_colours(self) -> None:
        """Have the page set its colours, and something that is none."""
        self.element.evaluate(_SET_TOKENS)

    def waits_until(self, happened: Callable[[], object]) -> None:
        """Let the browser go on until something has happened that no locator tells."""
        for _ in range(200):
            if happened():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it did not happen")

    def waits_a_moment(self) -> None:
        """Let the browser do what it must not."""
        self.page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 100))")


@contextmanager
def visiting(windows: Windows[Visitor], url: str) -> Iterator[Visitor]:
    """Somebody at a page of the shell, whose browser must not complain."""
    person = windows.take(url)
    for remark in ("htmx:afterRequest, ", "htmx:sendAbort, "):
        person.expects_of_console(remark)  # htmx 2 makes them of each request in whose place it sends a newer one
    yield person
    complaints = person.all_complaints()
    windows.give_back(person)
    assert complaints == []


@contextmanager
def hosting(shell: Any) -> Iterator[LiveServer]:
    """Serve a shell: any WSGI application."""
    server = LiveServer()
    server.start(shell)
    try:
        yield server
    finally:
        server.stop()


def other_site(server: LiveServer) -> str:
    """The same server under a name that is another site to browsers."""
    return f"http://localhost:{server.port}"
