"""The tab inside a page of somebody else's, in a real browser: in the page itself with each htmx, and in a frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

from app.embed.services import allow_origin
from examples.b_portal_shell.shell import Settings, create_shell
from examples.b_portal_shell.signing import kept_key
from tests.conftest import HARBOUR
from tests.journeys.conftest import CROWD
from tests.support import shell
from tests.support.axe import violations
from tests.support.backstage import Backstage
from tests.support.browser import ic
from tests.support.chromium import Person
from tests.support.host_shell import PAGE, PREFIX, HostShell
from tests.support.live import LiveServer
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

# A sample of what is ours, with the dialog Manual Add open.
SAMPLE = [
    "#filter",
    "#add-client",
    "#select-page",
    "#sort-email",
    "#imported-clients-table",
    "th[aria-sort]",
    "td[data-col=email]",
    "td[data-col=status] .badge",
    "td[data-col=status] .note",
    "td[data-col=action] button",
    ".badge .icon",
    ".glance strong",
    "td[data-col=email_last_sent] time",
    "#result-count",
    "#next-page",
    "dialog#dialog",
    "#dialog h2",
    "#dialog label",
    "#dialog input#email",
    "#dialog .hint",
    "#dialog .dialog-actions",
    "#dialog a.button",
    "#dialog button.primary",
]
SET_TOKENS = """(element) => {
  element.style.setProperty("--imported-clients-accent", "#ff8800");
  element.style.setProperty("--imported-clients-radius", "url(x)");
}"""
# What depends on how much room there is, and on the rest of the page; and the scheme, which ours takes from the host.
_STYLES_OF = """(element) => {
  const style = getComputedStyle(element);
  const names = [...style].filter((name) => !/^--|width|height|block-size|inline-size|origin|inset|scheme/.test(name) &&
    !["left", "right", "top", "bottom"].includes(name));
  return Object.fromEntries(names.map((name) => [name, style[name]]));
}"""
TOO_LARGE = b"company_name,email\n" + b"x" * (3 * 1024 * 1024)
OWN_IDS = ["dialog", "panel", "filter", "table", "page-alert", "dialog-content", "clients-view"]
DOWNLOADS = ["import-errors.csv", "imported-clients.csv", "imported-clients-template.csv"]
BAD_FILE = b"company_name,email\nGood Ltd,good@crowd.test\nBad Ltd,nobody\n"
GOOD_FILE = b"company_name,email\nImported One,one@import.test\nImported Two,two@import.test\n"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"TRUSTED_PROXIES": "1"}


@pytest.fixture
def issuer(app: Flask) -> None:
    """The shell of these pages may hand people over."""
    shell.register(app, HARBOUR)


@contextmanager
def hosting(host: HostShell) -> Iterator[LiveServer]:
    server = LiveServer()
    server.start(host)  # type: ignore[arg-type]  # any WSGI application
    try:
        yield server
    finally:
        server.stop()


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

    def upload(self, content: bytes) -> None:
        self.dialog.get_by_label("CSV file").set_input_files(
            {"name": "clients.csv", "mimeType": "text/csv", "buffer": content}
        )
        self.dialog.get_by_role("button", name="Import", exact=True).click()


class Visitor(Person):
    """Somebody at a page of the shell. Kept is what our events told it, and which htmx events it came to hear."""

    def __init__(self, browser: Browser, url: str) -> None:
        super().__init__(browser, url)
        self.context.add_init_script(
            """
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
        )
        self.downloads: list[str] = []
        self.context.on("page", self._watch_downloads)
        self._watch_downloads(self.page)

    def _watch_downloads(self, page: Page) -> None:
        page.on("download", lambda download: self.downloads.append(download.suggested_filename))

    @property
    def element(self) -> Locator:
        return self.page.locator("imported-clients")

    @property
    def inline(self) -> Inside:
        return Inside(self.element, self.page)

    @property
    def framed(self) -> Inside:
        return Inside(self.page.frame_locator("imported-clients > iframe"), self.page)

    def told(self, name: str) -> list[Any]:
        return [detail for said, detail in self.page.evaluate("told") if said == name]

    def styles(self) -> Any:
        """How everything of the page's own looks."""
        return self.page.evaluate(
            f"""() => [...document.querySelectorAll("html, body, #host, #host *")].map({_STYLES_OF})"""
        )


@contextmanager
def visiting(browser: Browser, url: str) -> Iterator[Visitor]:
    """Somebody at a page of the shell, whose browser must not complain."""
    person = Visitor(browser, url)
    yield person
    complaints = person.complaints
    person.leave()
    assert complaints == []


def wait_until(happened: Callable[[], bool], page: Page) -> None:
    """Let the browser go on until something has happened that no locator tells."""
    for _ in range(200):
        if happened():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not happen")


def do_everything(person: Visitor, inside: Inside, mail_server: MailServer) -> None:
    """What a client admin does in the tab, with what is refused on the way."""
    person.expects(422)
    person.expects(413)
    expect(inside.rows).to_have_count(25)
    # Add
    inside.choose("Manual Add")
    expect(inside.dialog.get_by_label("Company Name")).to_be_focused()
    inside.dialog.get_by_label("Company Name").fill("Nordwind")
    inside.dialog.get_by_role("button", name="Save").click()
    summary = inside.dialog.locator("[data-error-summary]")
    expect(summary).to_be_focused()
    summary.get_by_role("link", name="Email Address").click()
    expect(inside.dialog.get_by_label("Email Address")).to_be_focused()
    inside.page.keyboard.type("info@nordwind.test")
    inside.dialog.get_by_role("button", name="Save").click()
    expect(inside.dialog).to_be_hidden()
    expect(inside.rows.first).to_contain_text("info@nordwind.test")
    mail_server.wait_for("info@nordwind.test")
    # Page, sort
    next_page = inside.place.get_by_role("link", name="Next page")
    next_page.evaluate("(link) => link.replaceWith(link.cloneNode(true))")  # of which htmx does not know yet
    next_page.click()
    expect(inside.rows).to_have_count(CROWD + 1 - 25)
    inside.place.get_by_role("link", name="Company Name").click()
    expect(inside.rows.first).to_contain_text("Company 01")
    # Filter
    inside.press("Filter")
    filters = inside.place.get_by_role("form", name="Filter", exact=True)
    filters.get_by_label("Company Name").fill("nordw")
    filters.get_by_role("button", name="Done").click()
    expect(inside.rows).to_have_count(1)
    expect(inside.place.get_by_role("link", name="Remove filter")).to_have_count(1)
    # Resend
    inside.row("Nordwind").get_by_role("button", name="Resend Invite").click()
    mail_server.wait_for("info@nordwind.test", count=2)
    # Tick, and see it stay ticked while the table refreshes itself
    inside.row("Nordwind").get_by_role("checkbox").check()
    expect(inside.row("Nordwind")).to_contain_text("Handed to the mail server")
    expect(inside.place.get_by_role("form", name="Selected clients")).to_contain_text("1 selected")
    # Remove
    inside.row("Nordwind").get_by_role("button", name="Remove", exact=True).click()
    expect(inside.dialog.get_by_role("link", name="Keep")).to_be_focused()
    inside.dialog.get_by_role("button", name="Remove").click()
    expect(inside.rows).to_have_count(0)
    inside.place.get_by_role("link", name="Clear", exact=True).click()
    expect(inside.rows).to_have_count(25)
    # Download
    inside.place.get_by_role("link", name="Export CSV").click()
    inside.place.get_by_role("link", name="Download CSV Template").click()
    wait_until(lambda: len(person.downloads) == 2, person.page)
    # Import
    inside.choose("Bulk Invite")
    inside.upload(TOO_LARGE)
    expect(inside.dialog.locator("[data-import-errors]")).to_contain_text("3 MiB")
    inside.upload(BAD_FILE)
    expect(inside.dialog.locator("[data-error-line='3']")).to_be_visible()
    inside.dialog.get_by_role("button", name="Error report").click()
    wait_until(lambda: len(person.downloads) == 3, person.page)
    assert [re.sub(r"[-\d]{11}", "", name) for name in sorted(person.downloads)] == DOWNLOADS
    inside.upload(GOOD_FILE)
    expect(inside.dialog).to_have_accessible_name("2 clients imported")
    inside.dialog.get_by_role("link", name="Close").click()
    expect(inside.place.locator("#result-count")).to_contain_text(str(CROWD + 2))
    # History
    inside.place.get_by_role("link", name="Company 01").click()
    expect(inside.place.locator("dialog#panel")).to_be_visible()
    inside.page.keyboard.press("Escape")
    expect(inside.place.locator("dialog#panel")).to_be_hidden()
    # Whatever was swapped took the place of what was there.
    for part in ("#clients-view", "#imported-clients", "#recent-imports"):
        expect(inside.place.locator(part)).to_have_count(1)


def styles_with_dialog(inside: Inside) -> dict[str, dict[str, str]]:
    """How a sample of what is ours looks."""
    expect(inside.rows).to_have_count(25)
    inside.choose("Manual Add")
    expect(inside.dialog).to_be_visible()
    found = {part: inside.place.locator(part).first.evaluate(_STYLES_OF) for part in SAMPLE}
    inside.dialog.get_by_role("link", name="Cancel").click()
    return found


@pytest.mark.parametrize("htmx", ["2.0.11", "4.0.1", None])
def test_everything_is_done_inside_a_page_of_the_same_origin(
    htmx: str | None,
    chromium_browser: Browser,
    site: LiveServer,
    app: Flask,
    issuer: None,
    crowd: list[str],
    mail_server: MailServer,
) -> None:
    host = HostShell(app, htmx=htmx, aud=site.url)
    with hosting(host) as server, visiting(chromium_browser, server.url) as person:
        person.open(f"{PAGE}?without=us")
        before = person.styles()
        person.open(PAGE)
        place = person.page.evaluate("[location.href, history.length, history.state, document.title]")
        inside = styles_with_dialog(person.inline)
        do_everything(person, person.inline, mail_server)

        # The page is where it was, and as it was.
        assert person.page.evaluate("[location.href, history.length, history.state, document.title]") == place
        assert person.styles() == before
        assert person.page.locator("#host p").all_text_contents() == OWN_IDS
        assert person.page.evaluate("leaked") == []
        assert person.told("ready") == [None]
        assert person.told("navigate")[-1] == "?sort=company_name"
        # An htmx element of its own goes on as it was configured: an answer of 422 is not swapped.
        if htmx:
            person.expects_of_console(f"from {PAGE}/own")
            with person.page.expect_response(f"**{PAGE}/own"):
                person.page.locator("#own").click()
            wait_until(lambda: {"afterRequest", "after:request"} & set(person.page.evaluate("own")), person.page)
            expect(person.page.locator("#host #panel")).to_have_text("panel")
        else:
            assert person.page.evaluate("document.getElementById('own')._htmx ?? null") is None
        # It sets our colours, and ours else look as on our own page.
        person.element.evaluate(SET_TOKENS)
        expect(person.inline.place.locator("#add-client")).to_have_css("background-color", "rgb(255, 136, 0)")
        assert person.complaints == []
        for words in ("htmx:afterRequest", "htmx:sendAbort"):
            person.expects_of_console(words)  # of what htmx 2 was just asking for when the page is left
        person.element.evaluate("(element) => element.removeAttribute('style')")
        if htmx is None:
            for words in ("Applying inline style", "CSP: style-src-elem forbids inline"):
                person.expects_of_console(words)  # axe's own, which it is refused
            assert violations(person.page, "imported-clients") == []
        person.open(f"{PREFIX}{ic(HARBOUR)}")
        at_home = styles_with_dialog(Inside(person.page.locator("body"), person.page))
        for part in SAMPLE:
            assert inside[part] == at_home[part], part


@pytest.mark.parametrize("way", ["same origin", "own origin"])
def test_everything_is_done_in_the_example_shell(
    way: str,
    chromium_browser: Browser,
    site: LiveServer,
    app: Flask,
    crowd: list[str],
    mail_server: MailServer,
    tmp_path: Path,
) -> None:
    server = LiveServer()
    origin, key = other_site(server), kept_key(tmp_path / "key.pem")
    shell.register(app, HARBOUR, issuer=origin, pem=shell.public_pem(key))
    with app.app_context():
        allow_origin(HARBOUR, origin)
    server.start(create_shell(Settings(origin, site.url, site.port, "a secret of the shell", key)))
    try:
        with visiting(chromium_browser, origin) as person:
            person.open("/")
            person.page.get_by_role("button", name="Mira Lindqvist").click()
            person.page.get_by_role("link", name="Harbour & Fjord Stays").click()
            person.page.get_by_role("link", name=f"Accounts ({way})").click()
            inside = person.inline if way == "same origin" else person.framed
            expect(inside.rows).to_have_count(25)
            heading = person.page.get_by_role("heading", name="Accounts")
            before = heading.evaluate(_STYLES_OF)
            do_everything(person, inside, mail_server)
            assert heading.evaluate(_STYLES_OF) == before
            expect(person.page.locator("#own-table")).to_be_visible()
            ours = {cookie["name"]: cookie["path"] for cookie in person.context.cookies()}
            assert ours["session" if way == "same origin" else "framed_session"] == (
                "/imported-clients" if way == "same origin" else "/"
            )
    finally:
        server.stop()


def test_everything_is_done_in_a_frame_on_another_site(
    chromium_browser: Browser, site: LiveServer, app: Flask, issuer: None, crowd: list[str], mail_server: MailServer
) -> None:
    host = HostShell(app, ours=site.url, aud=site.url)
    host.attributes = 'theme="dark"'
    with hosting(host) as server, visiting(chromium_browser, other_site(server)) as person:
        with app.app_context():
            allow_origin(HARBOUR, other_site(server))
        person.open(f"{PAGE}?view=%3Fcompany_name%3DCompany")
        expect(person.framed.place.get_by_role("link", name="Remove filter")).to_have_count(1)
        person.framed.place.get_by_role("link", name="Clear", exact=True).click()
        do_everything(person, person.framed, mail_server)
        assert person.told("navigate")[-1] == "?sort=company_name"
        assert person.told("ready") == [None]
        # As high as what is in it.
        body = person.framed.place.locator("body")
        wait_until(lambda: 0 <= height(person.page.locator("iframe")) - height(body) <= 1, person.page)
        # In the page's colours, as far as they are some; it may change them at any time.
        person.element.evaluate(SET_TOKENS)
        primary = person.framed.place.locator("#add-client")
        expect(primary).to_have_css("background-color", "rgb(255, 136, 0)")
        expect(primary).to_have_css("color", "color(xyz-d65 0 0 0)")
        expect(primary).to_have_css("border-radius", "8px")
        # Nobody else is listened to, on either side.
        person.page.frame_locator("iframe").locator("html").evaluate(
            """() => postMessage({ to: "imported-clients", type: "theme", tokens: { accent: "#00ff00" } }, "*")"""
        )
        tall = height(person.page.locator("iframe"))
        person.page.evaluate("""postMessage({ to: "imported-clients-shell", type: "height", height: 9000 }, "*")""")
        person.page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 100))")
        expect(primary).to_have_css("background-color", "rgb(255, 136, 0)")
        assert height(person.page.locator("iframe")) == tall
        expect(body).to_have_css("color-scheme", "dark")
        # A dialog opens where somebody looks: the page need not be scrolled to it.
        person.framed.rows.last.scroll_into_view_if_needed()
        scrolled = person.page.evaluate("scrollY")
        person.framed.rows.last.get_by_role("button", name="Remove", exact=True).click()
        expect(person.framed.dialog.get_by_role("link", name="Keep")).to_be_focused()
        expect(person.framed.dialog).to_be_in_viewport(ratio=1)
        assert person.page.evaluate("scrollY") == scrolled
        # The session's cookie is for this site's frames alone.
        (cookie,) = person.context.cookies(site.url)
        assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
        assert cookie["partitionKey"] == "http://localhost"


def test_two_elements_in_one_page_keep_each_other_up_to_date(
    chromium_browser: Browser, site: LiveServer, app: Flask, issuer: None, clients: None
) -> None:
    host = HostShell(app, aud=site.url)
    with hosting(host) as server, visiting(chromium_browser, server.url) as person:
        person.open(PAGE)
        person.element.evaluate(
            """(first) => {
              const second = first.cloneNode();
              second.setAttribute("surface", "table");
              first.after(second);
            }"""
        )
        tab, table = (Inside(person.element.nth(n), person.page) for n in range(2))
        for inside in (tab, table):
            expect(inside.rows).to_have_count(3)
        table.row("Nordwind").get_by_role("button", name="Remove", exact=True).click()
        expect(tab.dialog).to_be_hidden()
        table.dialog.get_by_role("button", name="Remove").click()
        for inside in (tab, table):
            expect(inside.rows).to_have_count(2)
        # The page says which part it wants to see, and moves the element.
        tab.place.evaluate("(element) => element.setAttribute('view', '?company_name=berg')")
        expect(tab.rows).to_have_count(1)
        expect(table.rows).to_have_count(2)
        tab.place.evaluate("(element) => document.body.append(element)")
        expect(person.element.nth(1).locator("tr[data-client-id]")).to_have_count(1)


def test_an_answer_that_comes_too_late_takes_nothing_away(
    chromium_browser: Browser, site: LiveServer, app: Flask, issuer: None, clients: None
) -> None:
    host = HostShell(app, aud=site.url)
    with hosting(host) as server, visiting(chromium_browser, server.url) as person:
        person.open(PAGE)
        expect(person.inline.rows).to_have_count(3)
        # One for which there is no session is asked for; while it does not answer the page wants the first again.
        person.expects(401)
        host.hold("/embed/table")
        with person.page.expect_request("**/embed/table"):
            person.element.evaluate(
                """(element) => {
                  element.removeAttribute("handover");
                  element.setAttribute("portal", "nowhere");
                  element.setAttribute("surface", "table");
                }"""
            )
        person.element.evaluate(
            """(element) => {
              element.setAttribute("surface", "tab");
              element.setAttribute("portal", "harbour");
            }"""
        )
        expect(person.inline.rows).to_have_count(3)
        with person.page.expect_response("**/embed/table"):
            host.release()
        person.page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 100))")
        expect(person.inline.rows).to_have_count(3)
        assert person.told("session-ended") == []


def test_what_could_not_be_loaded_is_told_and_loaded_at_the_next_try(
    chromium_browser: Browser, site: LiveServer, app: Flask, issuer: None, clients: None
) -> None:
    host = HostShell(app, aud=site.url)
    with hosting(host) as server, visiting(chromium_browser, server.url) as person:
        person.expects("ERR_FAILED")
        for script in ("**/static/*selection*", "**/vendor/htmx*"):
            person.context.route(script, lambda route: route.abort())
            if script == "**/static/*selection*":
                person.open(PAGE)
            else:
                person.element.evaluate("(element) => element.reload()")
            expect(person.element.get_by_role("alert").filter(has_text="cannot be shown just now")).to_be_visible()
            person.context.unroute(script)
        person.element.evaluate("(element) => element.reload()")
        wait_until(lambda: person.told("ready") == [None], person.page)
        expect(person.inline.rows).to_have_count(3)


@pytest.mark.parametrize("htmx", ["2.0.11", "4.0.1"])
def test_what_is_pressed_while_the_table_fetches_itself_is_done_and_seen(
    htmx: str,
    chromium_browser: Browser,
    site: LiveServer,
    app: Flask,
    issuer: None,
    backstage: Backstage,
    crowd: list[str],
) -> None:
    host = HostShell(app, htmx=htmx, aud=site.url)
    with hosting(host) as server, visiting(chromium_browser, server.url) as person:
        person.open(PAGE)
        expect(person.inline.rows).to_have_count(25)
        person.looks_away()

        table = person.inline.place.locator("#imported-clients")

        def fetch() -> None:
            """Let the table ask for itself, as it does now and then; there is something new."""
            with person.page.expect_request("**/table?*"):
                table.dispatch_event("live-tick", {"bubbles": False})

        # Its answer comes while another page of it is asked for.
        backstage.remove(backstage.client(crowd[1]).id)
        host.hold("/imported-clients")
        person.inline.place.get_by_role("link", name="Next page").click()
        with person.page.expect_response("**/table?*"):
            fetch()
        host.release()
        expect(person.inline.row("Company 01")).to_have_count(1)
        wait_until(lambda: any("after=" in view for view in person.told("navigate")), person.page)

        # It comes when somebody has turned back already.
        backstage.remove(backstage.client(crowd[2]).id)
        host.hold("/table")
        fetch()
        person.inline.place.get_by_role("link", name="Previous page").click()
        expect(person.inline.row("Company 30")).to_have_count(1)
        with person.page.expect_response("**/table?*"):
            host.release()
        expect(person.page.locator(".htmx-request")).to_have_count(0)
        expect(person.inline.row("Company 30")).to_have_count(1)

        # It is older than what was done meanwhile.
        backstage.remove(backstage.client(crowd[3]).id)
        host.hold("/table")
        fetch()
        person.inline.row("Company 30").get_by_role("button", name="Remove", exact=True).click()
        with person.page.expect_response("**/remove"):
            person.inline.dialog.get_by_role("button", name="Remove").click()
        host.release()
        expect(person.inline.row("Company 30")).to_have_count(0)


def test_a_page_that_is_not_registered_cannot_frame_us_and_says_so(
    chromium_browser: Browser, site: LiveServer, app: Flask, issuer: None
) -> None:
    host = HostShell(app, ours=site.url, aud=site.url)
    with hosting(host) as server, visiting(chromium_browser, other_site(server)) as person:
        person.expects_of_console("frame-ancestors")
        person.expects_of_console("Failed to execute 'postMessage'")
        person.page.clock.install()
        with person.page.expect_response("**/embed/frame?*") as answer:
            person.open(PAGE)
        assert "frame-ancestors 'none'" in answer.value.headers["content-security-policy"]
        person.page.clock.fast_forward(10_000)
        expect(person.element.get_by_role("alert")).to_contain_text("is not among the shell origins")
        assert person.told("ready") == []


def test_a_page_with_an_older_htmx_gets_the_frame(
    chromium_browser: Browser, site: LiveServer, app: Flask, issuer: None, clients: None
) -> None:
    host = HostShell(app, htmx="1.9.12", aud=site.url)
    with hosting(host) as server, visiting(chromium_browser, server.url) as person:
        with app.app_context():
            allow_origin(HARBOUR, server.url)
        person.expects_of_console("this page has htmx 1.9.12")
        person.open(PAGE)
        expect(person.framed.rows).to_have_count(3)


@pytest.mark.parametrize("way", ["inline", "framed"])
def test_a_session_that_has_ended_is_renewed_as_long_as_the_shell_has_a_token(
    way: str,
    chromium_browser: Browser,
    site: LiveServer,
    app: Flask,
    issuer: None,
    backstage: Backstage,
    clients: None,
) -> None:
    host = HostShell(app, ours=PREFIX if way == "inline" else site.url, htmx="4.0.1", aud=site.url)
    with hosting(host) as server:
        url = server.url if way == "inline" else other_site(server)
        with visiting(chromium_browser, url) as person:
            with app.app_context():
                allow_origin(HARBOUR, other_site(server))
            person.expects(401)
            person.open(PAGE)
            inside: Inside = getattr(person, way)
            expect(inside.rows).to_have_count(3)
            if way == "inline":
                # A file that is asked for by a form is no exception.
                person.expects(422)
                inside.choose("Bulk Invite")
                inside.upload(BAD_FILE)
                backstage.end_sessions()
                inside.dialog.get_by_role("button", name="Error report").click()
                wait_until(lambda: person.downloads == ["import-errors.csv"], person.page)
                inside.dialog.get_by_role("link", name="Cancel").click()
            resend = inside.row("Nordwind").get_by_role("button", name="Resend Invite")
            if way == "inline":
                # With its cookie the page has lost its CSRF token, too.
                person.context.clear_cookies()
                resend.click()
            else:
                backstage.end_sessions()
                resend.click()
                # The frame begins anew, and nothing is done twice.
                wait_until(lambda: len(person.told("ready")) == 2, person.page)
                resend.click()
            wait_until(lambda: backstage.client("info@nordwind.test").generation == 2, person.page)
            assert person.told("session-ended") == []

            host.has_tokens = False
            person.expects(403)
            backstage.end_sessions()
            inside.row("Nordwind").get_by_role("button", name="Remove", exact=True).click()
            expect(person.element.get_by_role("alert").filter(has_text="Your session has ended")).to_have_count(1)
            wait_until(lambda: bool(person.told("session-ended")), person.page)
            assert person.page.url == f"{url}{PAGE}"


@pytest.mark.parametrize("way, htmx", [("inline", "2.0.11"), ("inline", "4.0.1"), ("framed", None)])
def test_what_is_pressed_with_the_token_of_an_older_session_is_done(
    way: str,
    htmx: str | None,
    chromium_browser: Browser,
    site: LiveServer,
    app: Flask,
    issuer: None,
    backstage: Backstage,
    clients: None,
) -> None:
    host = HostShell(app, ours=PREFIX if way == "inline" else site.url, htmx=htmx, aud=site.url)
    with (
        hosting(host) as server,
        visiting(chromium_browser, server.url if way == "inline" else other_site(server)) as person,
    ):
        with app.app_context():
            allow_origin(HARBOUR, other_site(server))
        person.expects(400)
        person.open(PAGE)
        inside: Inside = getattr(person, way)
        expect(inside.rows).to_have_count(3)
        # Another tab has got the browser another session.
        person.looks_away()
        person.context.clear_cookies()
        with person.in_another_tab():
            person.open(PAGE)
            expect(getattr(person, way).rows).to_have_count(3)
        inside.row("Nordwind").get_by_role("button", name="Resend Invite").click()
        wait_until(lambda: backstage.client("info@nordwind.test").generation == 2, person.page)
        expect(inside.place.locator("#page-alert")).to_be_empty()


def other_site(server: LiveServer) -> str:
    """The same server under a name that is another site to browsers."""
    return f"http://localhost:{server.port}"


def height(place: Locator) -> float:
    found = place.bounding_box()
    assert found
    return found["height"]
