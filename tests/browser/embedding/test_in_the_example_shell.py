"""The tab in the pages of the example shell, in both ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import expect

from app.embed.service import allow_origin
from examples.b_portal_shell.shell import Settings, create_shell
from examples.b_portal_shell.signing import kept_key
from tests.browser.conftest import NORDWIND
from tests.browser.embedding.everything import add, filter_for_nordwind, remove
from tests.conftest import HARBOUR
from tests.support import shell
from tests.support.chromium import Windows
from tests.support.embedding import STYLES_OF, Visitor, Way, other_site, visiting
from tests.support.live import LiveServer
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser


@pytest.fixture
def person(visitors_windows: Windows[Visitor], site: LiveServer, app: Flask, tmp_path: Path) -> Iterator[Visitor]:
    """Somebody at the first page of the shell."""
    server = LiveServer()
    origin, key = other_site(server), kept_key(tmp_path / "key.pem")
    shell.register(app, HARBOUR, issuer=origin, pem=shell.public_pem(key))
    with app.app_context():
        allow_origin(HARBOUR, origin)
    server.start(create_shell(Settings(origin, site.url, site.port, "a secret of the shell", key)))
    try:
        with visiting(visitors_windows, origin) as person:
            person.open("/")
            yield person
    finally:
        server.stop()


@pytest.mark.usefixtures("own_windows")
@pytest.mark.parametrize(
    "way, link, cookie, path",
    [
        ("inline", "Accounts (same origin)", "session", "/imported-clients"),
        ("framed", "Accounts (own origin)", "framed_session", "/"),
    ],
    ids=["same origin", "own origin"],
)
def test_a_client_is_added_and_removed_and_the_page_stays_as_it_was(
    way: Way, link: str, cookie: str, path: str, person: Visitor, crowd: list[str], mail_server: MailServer
) -> None:
    person.page.get_by_role("button", name="Mira Lindqvist").click()
    person.page.get_by_role("link", name="Harbour & Fjord Stays").click()
    person.page.get_by_role("link", name=link).click()
    inside = person.inside(way)
    expect(inside.rows).to_have_count(25)
    heading = person.page.get_by_role("heading", name="Accounts")
    before = heading.evaluate(STYLES_OF)
    person.expects(422)
    add(inside)
    mail_server.wait_for(NORDWIND)
    filter_for_nordwind(inside)
    remove(inside)
    assert heading.evaluate(STYLES_OF) == before
    expect(person.page.locator("#own-table")).to_be_visible()
    assert {one["name"]: one["path"] for one in person.context.cookies()}[cookie] == path
