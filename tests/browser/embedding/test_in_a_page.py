"""The tab in a page of the same origin, with each htmx: everything works, and neither changes the other."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.embedding.conftest import Show
from tests.browser.embedding.everything import do_everything
from tests.conftest import HARBOUR
from tests.support.axe import violations
from tests.support.browser import ic
from tests.support.embedding import STYLES_OF, Inside
from tests.support.host_shell import PAGE, PREFIX
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
    "td[data-col=status] .status-line",
    "td[data-col=action] button",
    ".badge .icon",
    ".filter-tabs .number",
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
STYLES_OF_SAMPLE = f"""(place, parts) => {{
  const root = place.shadowRoot ?? place;
  return Object.fromEntries(parts.map((part) => [part, ({STYLES_OF})(root.querySelector(part))]));
}}"""
OWN_IDS = ["dialog", "panel", "filter", "table", "page-alert", "dialog-content", "clients-view"]


def styles_with_dialog(inside: Inside) -> Any:
    """How a sample of what is ours looks."""
    expect(inside.rows).to_have_count(25)
    inside.choose("Manual Add")
    expect(inside.dialog).to_be_visible()
    found = inside.place.evaluate(STYLES_OF_SAMPLE, SAMPLE)
    inside.dialog.get_by_role("link", name="Cancel").click()
    return found


@pytest.mark.parametrize("htmx", ["2.0.11", "4.0.1", None])
def test_everything_is_done_and_the_page_stays_as_it_was(
    htmx: str | None, show: Show, crowd: list[str], mail_server: MailServer
) -> None:
    _host, person = show(htmx=htmx)
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
    # Back from the list of imports.
    assert person.told("navigate")[-2:] == ["?sort=company_name", ""]
    # An htmx element of its own goes on as it was configured: an answer of 422 is not swapped.
    if htmx:
        person.expects_of_console(f"from {PAGE}/own")
        with person.page.expect_response(f"**{PAGE}/own"):
            person.page.locator("#own").click()
        person.waits_until(lambda: {"afterRequest", "after:request"} & set(person.page.evaluate("own")))
        expect(person.page.locator("#host #panel")).to_have_text("panel")
    else:
        assert person.page.evaluate("document.getElementById('own')._htmx ?? null") is None
    # It sets our colours, and ours else look as on our own page.
    person.sets_colours()
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
