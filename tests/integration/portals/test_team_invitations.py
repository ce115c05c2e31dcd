"""A colleague is invited to a portal's team, and gets the role by accepting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import time_machine
from flask import Flask

from app.models import AuditKind, Role
from app.portals.service import grant_role, revoke_role
from tests.conftest import ALPINE, HARBOUR
from tests.integration.audit.trail import lines
from tests.integration.cli.running import run
from tests.integration.portals.team import ADA, FORM, NORA, OLAF, SAM, TEAM, Team, error, prose
from tests.integration.registration.invitee import verification_link
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, path_of
from tests.support.factories import PASSWORD, make_member, make_user


def test_a_colleague_without_an_account_registers_verifies_and_is_in_the_team(
    team: Team, app_driver: AppDriver, nobody: Browser
) -> None:
    assert team.invite(role="client_admin").status_code == 303
    assert team.invited() == {NORA: ("client_admin", "waiting")}
    (mail,) = team.mails(NORA)
    assert "Ada Berg (ada@harbour.test) invites you" in prose(mail)
    assert mail.link.startswith("http://clients.harbour.test/team-invitations/harbour.")
    assert team.invited() == {NORA: ("client_admin", "sent")}
    link = path_of(mail.link)
    before = app_driver.dump()
    page = nobody.get(link)
    assert page.status_code == 200
    assert app_driver.dump() == before
    assert nobody.post(link, {"name": "", "password": "short"}).status_code == 422
    assert nobody.post(link, FORM | {"email": OLAF, "role": "client_admin"}).location.endswith("/verify-email")
    assert app_driver.role(NORA) is None
    assert team.invited() == {NORA: ("client_admin", "registered")}
    (verification,) = team.mails(NORA)
    assert nobody.post(path_of(verification.link)).status_code == 303
    assert "You now work in Harbour Tours" in nobody.get("/verified").text
    assert app_driver.role(NORA) is Role.CLIENT_ADMIN
    given = lines(app_driver)[-1]
    assert (given.kind, given.actor, given.target) == (AuditKind.ROLE_GIVEN, NORA, NORA)
    assert nobody.sign_in(NORA, FORM["password"]).status_code == 303
    assert nobody.get(TEAM).status_code == 200
    assert team.rows() == {ADA: "client_admin", NORA: "client_admin", SAM: "staff"}
    assert team.invited() == {}
    dead = nobody.get(link)
    assert (dead.status_code, "already used" in dead.text) == (410, True)


def test_whoever_has_an_account_signs_in_and_accepts(team: Team, app_driver: AppDriver, stranger: Browser) -> None:
    team.invite(OLAF)
    link = team.link(OLAF)
    somebody = Browser(app_driver.app)
    assert "already has an account" in somebody.get(link).text
    assert somebody.post(link, FORM).status_code == 409
    assert somebody.sign_in(OLAF, PASSWORD).status_code == 303  # the password is what it was
    assert stranger.get(f"/portals/{HARBOUR}/settings/accounts").status_code == 404
    # Somebody else's session accepts nothing.
    assert team.admin.post(link).status_code == 409
    assert app_driver.role(OLAF) is None
    accepted = stranger.post(link)
    assert (accepted.status_code, accepted.location) == (303, f"/portals/{HARBOUR}/settings/accounts")
    assert app_driver.role(OLAF) is Role.STAFF
    assert app_driver.role(OLAF, ALPINE) is Role.CLIENT_ADMIN


def test_whoever_has_not_verified_sees_only_that(team: Team, app_driver: AppDriver, nobody: Browser) -> None:
    app_driver.do(make_user, NORA, "Nora Wind", verified=False)
    team.invite()
    link = team.link()
    nobody.sign_in(NORA, PASSWORD)
    page = nobody.get(link)
    assert "Send the email again" in page.text
    assert nobody.post(link).status_code == 409
    assert app_driver.role(NORA) is None


def test_dead_links_say_which_and_what_to_do(team: Team, app_driver: AppDriver, nobody: Browser) -> None:
    def says(link: str, words_: str) -> None:
        for answer in (nobody.get(link), nobody.post(link, FORM)):
            assert answer.status_code == 410
            assert words_ in answer.text
            assert "Harbour Tours" in answer.text

    team.invite()
    first = team.link()
    with time_machine.travel(datetime.now(UTC) + timedelta(days=6, hours=23), tick=True):
        assert nobody.get(first).status_code == 200
    nobody.forget_csrf_token()
    with time_machine.travel(datetime.now(UTC) + timedelta(days=7, minutes=1), tick=True):
        says(first, "This invitation has expired")
    nobody.forget_csrf_token()
    app_driver.end_sessions()
    admin = Browser(app_driver.app)
    admin.sign_in(ADA, PASSWORD)
    team.admin = admin
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=6), tick=True):
        assert team.invitation("resend").status_code == 303
        # A second press is the first one.
        assert team.invitation("resend").status_code == 303
        says(first, "replaced by a newer one")
        second = team.link()
        assert nobody.get(second).status_code == 200
        assert team.invitation("withdraw").status_code == 303
        says(second, "This invitation was withdrawn")
        assert nobody.get(second[:-1]).status_code == 404
    assert not app_driver.has_account(NORA)


def test_an_invitation_dies_with_the_role_of_who_has_sent_it(
    team: Team, app_driver: AppDriver, nobody: Browser, app: Flask
) -> None:
    """Or whose role is taken would come back by one that they have sent to themselves."""
    app_driver.do(make_member, HARBOUR, "eve@harbour.test", "Eve Moor", Role.CLIENT_ADMIN)
    eve = Browser(app)
    eve.sign_in("eve@harbour.test", PASSWORD)
    for email in (NORA, "late@elsewhere.test"):
        assert eve.post(TEAM, {"email": email, "role": "client_admin"}).status_code == 303
    link = team.link()
    nobody.post(link, FORM)  # registered, and not verified yet
    assert team.do("remove", "eve@harbour.test").status_code == 303
    late = team.mails("late@elsewhere.test")
    assert [mail.recipient for mail in late] == []
    assert nobody.get(link).status_code == 410
    assert nobody.post(verification_link(app_driver, NORA)).status_code == 303
    assert app_driver.role(NORA) is None
    assert team.invited()[NORA] == ("client_admin", "orphaned")
    assert team.invitation("resend").status_code == 303
    nobody.sign_in(NORA, FORM["password"])
    assert nobody.post(team.link()).status_code == 303
    assert app_driver.role(NORA) is Role.CLIENT_ADMIN


def test_who_cannot_be_invited_is_said_why(team: Team, app_driver: AppDriver) -> None:
    for typed, sentence in (
        ("nobody at all", "contains a space"),
        (SAM, "in the team already"),
        (ADA, "in the team already"),
    ):
        answer = team.invite(typed)
        assert answer.status_code == 422
        assert sentence in error(answer)
    assert team.invite(role="client").status_code == 422
    assert team.invite(role="").status_code == 422
    assert team.invite().status_code == 303
    twice = team.invite("  NORA@Harbour.test", "client_admin")
    assert (twice.status_code, error(twice)) == (
        422,
        "This address is already invited. You can send the invitation again.",
    )
    assert parse(twice).select_one("#resend-instead")["formaction"].endswith("/resend")
    assert team.invited() == {NORA: ("staff", "waiting")}
    assert len(team.mails(NORA)) == 1


def test_a_client_of_the_portal_gets_the_role_and_stays_joined(
    team: Team, app_driver: AppDriver, stranger: Browser
) -> None:
    client_id = app_driver.invite(OLAF)
    assert stranger.post(app_driver.link(client_id)).status_code == 303
    assert app_driver.role(OLAF) is Role.CLIENT
    team.invite(OLAF)
    assert stranger.post(team.link(OLAF)).status_code == 303
    assert app_driver.role(OLAF) is Role.STAFF
    assert app_driver.client(OLAF).is_joined
    # And is a client again when it is taken.
    assert team.do("remove", OLAF).status_code == 303
    assert app_driver.role(OLAF) is Role.CLIENT


def test_accepting_never_lowers_a_role(team: Team, app_driver: AppDriver, stranger: Browser) -> None:
    team.invite(OLAF, "staff")
    link = team.link(OLAF)
    app_driver.do(grant_role, HARBOUR, OLAF, Role.CLIENT_ADMIN)
    assert stranger.post(link).status_code == 303
    assert app_driver.role(OLAF) is Role.CLIENT_ADMIN


def test_who_was_taken_out_can_be_invited_again_by_a_new_link(
    team: Team, app_driver: AppDriver, stranger: Browser
) -> None:
    team.invite(OLAF)
    former = team.link(OLAF)
    stranger.post(former)
    team.do("remove", OLAF)
    gone = stranger.post(former)
    assert (gone.status_code, "withdrawn" in gone.text) == (410, True)
    assert team.invite(OLAF).status_code == 303
    assert stranger.post(team.link(OLAF)).status_code == 303
    # Also if an operator has taken the role.
    app_driver.do(revoke_role, HARBOUR, OLAF, Role.STAFF)
    assert team.invite(OLAF, "client_admin").status_code == 303
    assert stranger.post(team.link(OLAF)).status_code == 303
    assert app_driver.role(OLAF) is Role.CLIENT_ADMIN


def test_a_withdrawal_takes_the_account_that_was_only_registered_with_it(
    team: Team, app_driver: AppDriver, nobody: Browser
) -> None:
    team.invite()
    nobody.post(team.link(), FORM)
    assert app_driver.has_account(NORA)
    assert team.invitation("withdraw").status_code == 303
    assert not app_driver.has_account(NORA)
    assert team.mails(NORA) == []


def test_mails_to_colleagues_are_limited(team: Team) -> None:
    team.invite()
    for _again in range(5):
        with time_machine.travel(datetime.now(UTC) + timedelta(seconds=6 * (_again + 1)), tick=True):
            assert team.invitation("resend").status_code == 303
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=60), tick=True):
        answer = team.invitation("resend")
    assert (answer.status_code, "Too many attempts" in answer.text) == (429, True)


def test_of_an_erased_colleague_nothing_is_left(team: Team, app: Flask, app_driver: AppDriver, nobody: Browser) -> None:
    """Neither an invitation nor a notice, theirs or to others, sent or waiting."""
    team.invite(role="client_admin")
    nobody.post(team.link(), FORM)
    nobody.post(verification_link(app_driver, NORA))
    nobody.sign_in(NORA, FORM["password"])
    assert nobody.post(TEAM, {"email": "ben@harbour.test", "role": "staff"}).status_code == 303
    assert team.do("role", NORA, {"role": "staff"}).status_code == 303
    assert "Nora Wind" in app_driver.dump()
    assert run(app, "user", "erase", "--email", NORA, "--yes").exit_code == 0
    for name in (NORA, "Nora Wind"):
        assert name not in app_driver.dump()
    assert team.invited() == {"ben@harbour.test": ("staff", "orphaned")}
    assert team.mails("ben@harbour.test") == []


def test_a_deleted_portal_takes_accounts_that_were_only_registered_as_colleagues(
    team: Team, app: Flask, app_driver: AppDriver, nobody: Browser
) -> None:
    team.invite()
    nobody.post(team.link(), FORM)
    assert run(app, "portal", "delete", "--portal", HARBOUR, "--yes").exit_code == 0
    assert not app_driver.has_account(NORA)
    assert NORA not in app_driver.dump()
