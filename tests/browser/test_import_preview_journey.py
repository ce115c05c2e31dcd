"""A portal that wants to see a larger import first: what is shown, changed, left out and then sent."""

from __future__ import annotations

import pytest
from playwright.sync_api import FilePayload, expect

from tests.browser.embedding.conftest import Show, _visitors_windows, environment, shell_server, show, visitors_windows
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.embedding import Way
from tests.support.host_shell import PAGE
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

__all__ = ["_visitors_windows", "environment", "shell_server", "show", "visitors_windows"]

FILE = b"company_name,email\r\nNordwind,info@nordwind.test\r\nBerghof,post@berghof.test\r\nAcme,ann@gmial.com\r\n"


def choose(person: Person, content: bytes) -> None:
    person.dialog.get_by_label("CSV file").set_input_files(
        FilePayload(name="autumn.csv", mimeType="text/csv", buffer=content)
    )


def test_a_list_is_seen_before_it_is_sent_without_those_in_the_table(
    ada: Person, app_driver: AppDriver, mail_server: MailServer
) -> None:
    app_driver.change_portal(preview_above=1)
    app_driver.invite("post@berghof.test", "Berghof")
    mail_server.wait_for("post@berghof.test")
    ada.page.reload()
    ada.choose("Bulk Invite")
    choose(ada, FILE)
    ada.dialog.get_by_label("Message").fill("See www.evil.test")
    ada.expects(422)
    ada.press("Import")
    expect(ada.dialog.locator("[data-error-code=message_link]")).to_be_visible()
    expect(ada.dialog.get_by_label("Message")).to_have_value("See www.evil.test")

    ada.dialog.get_by_label("Message").fill("We open in May.\nمرحبا بكم")
    ada.press("Import")
    expect(ada.dialog.locator("[data-error-code=email_duplicate_in_table]")).to_be_visible()
    ada.press("Import without the one that is in the table already")
    preview = ada.dialog.locator("[data-import-preview]")
    expect(preview.get_by_role("heading", name="Check before sending")).to_be_focused()
    expect(preview).to_contain_text("2 clients will get an invitation.")
    expect(preview).to_contain_text("1 client is in the table already and will be left out.")
    expect(preview.locator("tbody tr")).to_have_count(2)
    expect(preview.locator("[data-slip]").first).to_contain_text("did you mean @gmail.com?")
    mail = preview.frame_locator("iframe")
    expect(mail.get_by_text("We open in May.")).to_be_visible()
    expect(mail.get_by_text("مرحبا بكم")).to_have_css("direction", "rtl")
    expect(mail.get_by_role("strong")).to_have_text("Nordwind")
    # One way to go on, and one out.
    expect(ada.dialog.get_by_role("button", name="Import", exact=True)).to_be_hidden()
    expect(ada.rows).to_have_count(1)

    # Another message is seen first, too.
    ada.dialog.get_by_label("Message").fill("We open in June.")
    ada.press("Import 2 clients")
    expect(mail.get_by_text("We open in June.")).to_be_visible()
    expect(ada.rows).to_have_count(1)
    ada.press("Import 2 clients")
    expect(ada.dialog).to_have_accessible_name("2 clients imported")
    expect(ada.dialog).to_contain_text("1 client was left out because it is in the table already.")
    expect(ada.rows).to_have_count(3)
    assert "We open in June." in mail_server.wait_for("info@nordwind.test").text


def test_where_nothing_is_left_the_dialog_says_so(ada: Person, app_driver: AppDriver) -> None:
    app_driver.invite("post@berghof.test", "Berghof")
    ada.choose("Bulk Invite")
    choose(ada, FILE)
    ada.expects(422)
    ada.press("Import")
    expect(ada.dialog.locator("[data-error-line]")).to_have_count(1)
    # Somebody else adds the others meanwhile.
    for address in ("info@nordwind.test", "ann@gmial.com"):
        app_driver.invite(address)
    ada.press("Import without the one that is in the table already")
    said = ada.dialog.locator("[data-import-nothing-new]")
    expect(said).to_be_focused()
    expect(said).to_contain_text("All 3 clients in the file are in the table already.")


@pytest.mark.parametrize(("way", "htmx"), [("inline", "2.0.11"), ("framed", None)])
def test_it_is_the_same_inside_another_page(show: Show, app_driver: AppDriver, way: Way, htmx: str | None) -> None:
    app_driver.change_portal(preview_above=1)
    app_driver.invite("post@berghof.test", "Berghof")
    _host, person = show(way, htmx=htmx)
    person.open(PAGE)
    person.expects(422)
    inside = person.inside(way)
    expect(inside.rows).to_have_count(1)
    inside.choose("Bulk Invite")
    inside.dialog.get_by_label("Message").fill("We open in May.")
    inside.upload(FILE)
    inside.dialog.get_by_role("button", name="Import without the one").click()
    mail = inside.dialog.locator("iframe")
    expect(mail.content_frame.get_by_text("We open in May.")).to_be_visible()
    inside.dialog.get_by_role("button", name="Import 2 clients").click()
    expect(inside.dialog).to_have_accessible_name("2 clients imported")
    expect(inside.rows).to_have_count(3)
