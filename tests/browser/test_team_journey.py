"""A client admin makes a second one, who changes the mail server, and takes the role away again, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from app.models import Role
from tests.browser.table_parts import told
from tests.integration.portals.team import ADA, FORM, NORA, SAM, TEAM, prose
from tests.support.app_driver import AppDriver
from tests.support.chromium import Person
from tests.support.smtp import MailServer

pytestmark = pytest.mark.browser

EMAIL = TEAM.replace("team", "email")


@pytest.fixture
def nora(somebody: Callable[[], Person], ada: Person, mail_server: MailServer) -> Person:
    """Invited by Ada at the page, registered, verified and signed in."""
    ada.open(TEAM)
    ada.page.get_by_label("Email").fill(NORA)
    ada.page.get_by_label("Client admin:").check()
    ada.press("Invite")
    expect(told(ada)).to_contain_text(f"{NORA} is invited.")
    nora = somebody()
    nora.open(mail_server.wait_for(NORA).link)
    nora.page.get_by_label("Your name").fill(FORM["name"])
    nora.page.get_by_label("Password", exact=True).fill(FORM["password"])
    nora.press("Register")
    nora.open(mail_server.wait_for(NORA, count=2).link)
    nora.press("Verify my email address")
    expect(nora.page.get_by_role("heading", name="You now work in Harbour Tours")).to_be_visible()
    nora.sign_in(NORA, FORM["password"])
    return nora


def test_a_second_admin_changes_the_mail_server_and_is_demoted_with_a_dialog_open(
    ada: Person, nora: Person, app_driver: AppDriver, mail_server: MailServer
) -> None:
    def member(person: Person, email: str) -> Locator:
        return person.page.locator(f"tr[data-member-id='{app_driver.user(email).id}']")

    nora.open(EMAIL)
    nora.page.get_by_label("Our own mail server", exact=True).check()
    nora.page.get_by_label("Server", exact=True).fill("203.0.114.7")
    nora.page.get_by_label("Sender's address", exact=True).fill("tours@harbour.test")
    nora.press("Save")
    expect(told(nora)).to_contain_text("Saved.")
    # The first one told her of Nora's role.
    mail = mail_server.wait_for(ADA, count=2)
    assert mail.message["Subject"] == "Harbour Tours: the mail server was changed"
    assert "Nora Wind (nora@harbour.test) did this on" in prose(mail)

    # She asks whether to remove Sam, and meanwhile her role is taken.
    nora.open(TEAM)
    member(nora, SAM).get_by_role("button", name="Remove").click()
    expect(nora.dialog).to_contain_text("Remove Sam Lund from the team?")
    ada.open(TEAM)
    member(ada, NORA).get_by_role("button", name="Make staff").click()
    expect(told(ada)).to_have_text("Nora Wind is now staff.")
    expect(member(ada, NORA)).to_have_attribute("data-role", "staff")
    nora.expects(403)
    nora.dialog.get_by_role("button", name="Remove from the team").click()
    expect(nora.dialog.get_by_role("alert")).to_contain_text("Only client admins of this portal can do this.")
    expect(nora.dialog.locator("[data-alert]")).to_be_focused()
    assert app_driver.role(SAM) is Role.STAFF
    assert app_driver.role(NORA) is Role.STAFF

    # Ada removes her, by the keyboard: the question, the answer, and the row is gone.
    remove = member(ada, NORA).get_by_role("button", name="Remove")
    remove.focus()
    ada.page.keyboard.press("Enter")
    expect(ada.dialog).to_have_accessible_name("Remove Nora Wind from the team?")
    ada.dialog.get_by_role("button", name="Remove from the team").press("Enter")
    expect(member(ada, NORA)).to_have_count(0)
    expect(told(ada)).to_have_text("Nora Wind no longer works in this portal.")
    assert app_driver.role(NORA) is None
    nora.expects(404)
    nora.open(TEAM)
    expect(nora.page.get_by_role("heading")).to_have_text("This page does not exist")
