"""Who works in a portal: client admins see it, change roles and take them away, and everybody is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from app.accounts.disabling import disable_account
from app.models import MailKind, Role
from app.portals.service import find_membership, grant_role, revoke_role
from tests.conftest import ALPINE, HARBOUR
from tests.integration.portals.team import ADA, CARLA, FORM, NORA, OLAF, SAM, TEAM, Team, error, prose
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, path_of, words
from tests.support.factories import PASSWORD
from tests.support.shell import hand_over, register, says, signed
from tests.support.together import at_once

# The page


def test_the_page_tells_who_works_here_and_when_they_were_seen(
    team: Team, staff: Browser, joined_client: Browser
) -> None:
    assert staff.get(ic(HARBOUR)).status_code == 200
    assert team.rows() == {ADA: "client_admin", SAM: "staff"}
    page = parse(team.admin.get(TEAM))
    sam = page.select_one(f"tr[data-member-id='{team.id_of(SAM)}']")
    assert sam.select_one("[data-col=last_seen] time")
    assert words(sam.select_one("[data-col=role]")) == "Staff"
    for browser, status in ((staff, 403), (joined_client, 403)):
        assert browser.get(TEAM).status_code == status
        assert browser.post(TEAM, {"email": NORA, "role": "staff"}).status_code == status
    # For htmx, the list alone.
    assert parse(team.admin.get(TEAM, htmx=True)).find("h1") is None


def test_when_somebody_was_seen_is_written_once_in_ten_minutes(
    team: Team, app_driver: AppDriver, staff: Browser
) -> None:
    def seen() -> datetime | None:
        def read() -> datetime | None:
            membership = find_membership(HARBOUR, team.id_of(SAM))
            return membership.last_seen_at if membership else None

        return app_driver.do(read)

    assert seen() is None
    start = datetime.now(UTC)
    staff.get(ic(HARBOUR))
    first = seen()
    assert first
    assert abs(first - start) < timedelta(minutes=1)
    for minutes, is_noted in ((5, False), (11, True)):
        with time_machine.travel(start + timedelta(minutes=minutes), tick=True):
            staff.get(f"{ic(HARBOUR)}/table", htmx=True)
        assert (seen() != first) is is_noted


# Roles


def test_a_role_is_changed_and_everybody_is_told(team: Team, app_driver: AppDriver, staff: Browser) -> None:
    assert team.do("role", SAM, {"role": "client_admin"}).status_code == 303
    assert staff.get(TEAM).status_code == 200
    to_sam, to_ada = team.mails(SAM, ADA)
    assert "You are now a client admin of Harbour Tours." in prose(to_sam)
    assert "Sam Lund (sam@harbour.test) is now a client admin" in prose(to_ada)
    assert "Ada Berg (ada@harbour.test) did this on" in prose(to_ada)
    assert team.do("role", SAM, {"role": "client_admin"}).status_code == 303
    assert team.mails(SAM, ADA) == []
    told = team.do("role", SAM, {"role": "staff"}, htmx=True)
    assert (told.status_code, words(parse(told))) == (200, "Sam Lund is now staff.")
    to_sam, to_ada = team.mails(SAM, ADA)
    assert "no longer a client admin" in prose(to_ada)
    for role in ("client", "owner", ""):
        assert team.do("role", SAM, {"role": role}).status_code == 422
    assert app_driver.role(SAM) is Role.STAFF


def test_a_member_is_removed_after_a_question(team: Team, app_driver: AppDriver, staff: Browser) -> None:
    path = f"{TEAM}/{team.id_of(SAM)}/remove"
    for page in (team.admin.get(path), team.admin.get(path, htmx=True)):
        assert page.status_code == 200
        assert "Remove Sam Lund from the team?" in words(parse(page))
    assert app_driver.role(SAM) is Role.STAFF
    assert team.do("remove", SAM, htmx=True).status_code == 200
    assert app_driver.role(SAM) is None
    assert staff.get(ic(HARBOUR)).status_code == 404
    # What fetches itself, as an open list does, is not told to do so again: it would never end.
    for page, part in ((TEAM, "team"), (f"{ic(HARBOUR)}/table", "imported-clients")):
        assert "HX-Trigger" not in staff.get(page, htmx=True, headers={"HX-Target": f"div#{part}"}).headers
    assert "clients-changed" in staff.post(path, htmx=True).headers["HX-Trigger"]
    to_sam, to_ada = team.mails(SAM, ADA)
    assert "no longer" in to_sam.text
    assert "no longer" in to_ada.text
    assert team.admin.post(path).status_code == 404


def test_by_a_command_everybody_is_told_too(team: Team, app_driver: AppDriver) -> None:
    app_driver.do(grant_role, HARBOUR, OLAF, Role.CLIENT_ADMIN)
    to_olaf, to_ada = team.mails(OLAF, ADA)
    assert "Whoever runs this service did this on" in to_ada.text
    app_driver.do(revoke_role, HARBOUR, OLAF, Role.CLIENT_ADMIN)
    to_olaf, to_ada = team.mails(OLAF, ADA)
    assert "no longer" in to_olaf.text
    assert "no longer" in to_ada.text
    # What clients are, nobody has to be warned of.
    app_driver.do(revoke_role, HARBOUR, CARLA, Role.CLIENT)
    assert team.mails(CARLA, ADA) == []


def test_the_last_client_admin_stays(team: Team, app_driver: AppDriver) -> None:
    for answer in (
        team.do("role", ADA, {"role": "staff"}),
        team.do("remove", ADA),
        team.do("remove", ADA, htmx=True),
        team.admin.get(f"{TEAM}/{team.id_of(ADA)}/remove"),
    ):
        assert answer.status_code == 409
        assert "last client admin" in answer.text
    assert app_driver.role(ADA) is Role.CLIENT_ADMIN
    # A disabled account is no admin who could act.
    app_driver.do(grant_role, HARBOUR, OLAF, Role.CLIENT_ADMIN)
    app_driver.do(disable_account, OLAF)
    assert team.do("remove", ADA).status_code == 409
    assert team.do("remove", OLAF).status_code == 303


def test_a_demoted_admin_is_told_and_nothing_is_done(team: Team, app_driver: AppDriver) -> None:
    app_driver.do(grant_role, HARBOUR, OLAF, Role.CLIENT_ADMIN)
    app_driver.do(grant_role, HARBOUR, ADA, Role.STAFF)
    for answer in (team.invite(), team.do("remove", SAM), team.do("remove", SAM, htmx=True), team.do("role", SAM)):
        assert answer.status_code == 403
        assert "Only client admins of this portal can do this." in answer.text
    in_dialog = team.admin.client.post(
        f"{TEAM}/{team.id_of(SAM)}/remove",
        headers={**HTMX, "HX-Target": "div#dialog-content", "X-CSRFToken": team.admin.csrf_token()},
    )
    assert (in_dialog.status_code, in_dialog.headers["HX-Retarget"]) == (403, "#dialog-alert")
    assert app_driver.role(SAM) is Role.STAFF
    assert team.mails(NORA) == []


@pytest.mark.both_databases
@pytest.mark.parametrize("verb", ["remove", "role"])
def test_of_two_admins_who_remove_each_other_one_stays(app: Flask, app_driver: AppDriver, verb: str) -> None:
    app_driver.do(grant_role, HARBOUR, SAM, Role.CLIENT_ADMIN)
    ids = {email: app_driver.user(email).id for email in (ADA, SAM)}
    browsers = {}
    for email in ids:
        browsers[email] = Browser(app)
        browsers[email].sign_in(email, PASSWORD)
    for of_themselves in (False, True):
        calls = [
            partial(
                browsers[email].post,
                f"{TEAM}/{ids[email] if of_themselves else ids[other]}/{verb}",
                {"role": "staff"},
            )
            for email, other in ((ADA, SAM), (SAM, ADA))
        ]
        statuses = sorted(answer.status_code for answer in at_once(calls))
        assert statuses[0] == 303
        assert statuses[1] in ({409} if of_themselves else {403, 404, 409})
        roles = [app_driver.role(email) for email in ids]
        assert roles.count(Role.CLIENT_ADMIN) == 1
        for email in ids:
            app_driver.do(grant_role, HARBOUR, email, Role.CLIENT_ADMIN)


def test_who_comes_through_a_shell_is_managed_by_it(team: Team, app: Flask, app_driver: AppDriver) -> None:
    register(app, HARBOUR)
    hanna = Browser(app)
    assert hand_over(hanna, signed(says(role="staff"))).status_code == 303
    row = parse(team.admin.get(TEAM)).select_one("tr[data-managed]")
    assert words(row.select_one("[data-col=action]")) == "Managed by another program: change the role there."
    for answer in (
        team.do("role", "hanna@shell.test", {"role": "client_admin"}),
        team.do("remove", "hanna@shell.test"),
        team.admin.get(f"{TEAM}/{team.id_of('hanna@shell.test')}/remove"),
    ):
        assert answer.status_code == 409
        assert "comes in through another program" in answer.text
    assert hanna.get(ic(HARBOUR)).status_code == 200
    # An operator can, and the session dies with the role.
    app_driver.do(revoke_role, HARBOUR, "hanna@shell.test", Role.STAFF)
    assert hanna.get(ic(HARBOUR)).status_code in {302, 404}
    refused = team.invite("hanna@shell.test")
    assert (refused.status_code, "another program" in error(refused)) == (422, True)


def test_nothing_of_another_portal_s_team_can_be_touched(team: Team, app_driver: AppDriver, stranger: Browser) -> None:
    team.invite()
    (row,) = parse(team.admin.get(TEAM)).select("tr[data-invitation-id]")
    alpine = f"/portals/{ALPINE}/settings/team"
    for path in (
        f"invitations/{row['data-invitation-id']}/withdraw",
        f"invitations/{row['data-invitation-id']}/resend",
        f"{team.id_of(SAM)}/remove",
        f"{team.id_of(SAM)}/role",
        "99999999999999/remove",
    ):
        assert stranger.post(f"{alpine}/{path}", {"role": "staff"}).status_code == 404
    # A client is no member of the team.
    assert team.do("remove", CARLA).status_code == 404
    assert team.do("role", CARLA, {"role": "staff"}).status_code == 404


# The mail server


def test_all_client_admins_are_told_of_another_mail_server(team: Team, app_driver: AppDriver) -> None:
    app_driver.do(grant_role, HARBOUR, SAM, Role.CLIENT_ADMIN)
    team.mails(ADA)
    form = {
        "server": "own",
        "host": "203.0.114.7",
        "port": "587",
        "tls": "starttls",
        "sender_address": "us@harbour.test",
    }
    path = f"/portals/{HARBOUR}/settings/email"
    assert team.admin.post(path, form).status_code == 303
    mails = team.mails(ADA, SAM)
    assert [mail.recipient for mail in mails] == [ADA, SAM]
    for mail in mails:
        text = prose(mail)
        assert "now go out through the mail server 203.0.114.7" in text
        assert "Ada Berg (ada@harbour.test) did this on" in text
        assert mail.message["Auto-Submitted"] == "auto-generated"
    # The same again is no change; nor is where answers go.
    assert team.admin.post(path, form | {"reply_to": "desk@harbour.test"}).status_code == 303
    assert team.mails(ADA, SAM) == []
    assert team.admin.post(path, {"server": "deployment"}).status_code == 303
    assert "this service's own mail server" in prose(team.mails(ADA, SAM)[0])


def test_the_mails_about_a_team_are_of_the_deployment_s_server(team: Team, app_driver: AppDriver) -> None:
    team.invite()
    team.do("role", SAM, {"role": "client_admin"})
    kinds = {mail.kind: mail.queue for mail in app_driver.mails()}
    assert kinds == {MailKind.COLLEAGUE_INVITATION: "/normal", MailKind.ROLE_NOTICE: "/normal"}


def test_by_forms_alone_a_second_admin_changes_the_mail_server_and_is_demoted(
    team: Team, app_driver: AppDriver, nobody: Browser
) -> None:
    """Each step is the form that a page shows, sent as a browser without scripts sends it."""
    nora = nobody
    show(team.admin, TEAM, "#invite-colleague", email=NORA, role="client_admin")
    link = team.link()
    assert show(nora, link, "main form", **FORM).status_code == 303
    assert show(nora, path_of(team.mails(NORA)[0].link), "main form").status_code == 303
    assert show(nora, "/login", "main form", email=NORA, password=FORM["password"]).status_code == 303
    nora.forget_csrf_token()
    own = {
        "server": "own",
        "host": "203.0.114.7",
        "port": "587",
        "tls": "starttls",
        "sender_address": "us@harbour.test",
    }
    assert show(nora, f"/portals/{HARBOUR}/settings/email", "form.settings", **own).status_code == 303
    assert "Nora Wind (nora@harbour.test) did this on" in prose(team.mails(ADA)[-1])
    question = f"{TEAM}/{team.id_of(SAM)}/remove"
    form = parse(nora.get(question)).select_one("#remove-member-form")
    demote = f"tr[data-member-id='{team.id_of(NORA)}'] form"
    assert show(team.admin, TEAM, demote).status_code == 303
    refused = nora.post(form["action"])
    assert refused.status_code == 403
    assert "Only client admins of this portal can do this." in words(parse(refused))
    assert app_driver.role(SAM) is Role.STAFF
    assert show(team.admin, f"{TEAM}/{team.id_of(NORA)}/remove", "#remove-member-form").status_code == 303
    assert "Nora Wind no longer works in this portal." in team.admin.get(TEAM).text
    assert nora.get(TEAM).status_code == 404


def show(browser: Browser, page: str, form: str, **typed: str) -> TestResponse:
    """Open a page and send its form, with what is typed into it."""
    found = parse(browser.get(page)).select_one(form)
    hidden = {field["name"]: field["value"] for field in found.select("input[type=hidden]")}
    return browser.post(found.get("action") or page, hidden | typed, csrf=False)
