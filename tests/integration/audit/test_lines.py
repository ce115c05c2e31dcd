"""When there is a line and when there is none, in which portal it stands, and what it says."""

from __future__ import annotations

from app.models import ActorKind, AuditKind
from tests.conftest import ALPINE, HARBOUR
from tests.integration.audit.stage import ADA, INVITEE, SAM, SETTINGS, Stage
from tests.integration.audit.trail import Line, kinds, lines
from tests.integration.cli.running import run
from tests.support.browser import Browser, ic
from tests.support.factories import PASSWORD
from tests.support.shell import hand_over, register, says, signed


def test_what_is_refused_or_undone_leaves_no_line(stage: Stage) -> None:
    client_id = stage.client()
    before = lines(stage.app_driver)
    for path, data, status in (
        (f"{ic(HARBOUR)}/{client_id}/correct", {"company_name": "", "email": "x"}, 422),
        (f"{SETTINGS}/invitations", {"preview_above": "many", "join_notice": "off"}, 422),
        (f"{SETTINGS}/email", {"server": "own", "host": ""}, 422),
        (f"{ic(HARBOUR)}/bulk/remove", {}, 409),
        # The address is in the table: the transaction ends without a change.
        (ic(HARBOUR), {"company_name": "Nordwind", "email": INVITEE}, 303),
    ):
        assert stage.admin.post(path, data).status_code == status, path
    done = run(stage.app, "user", "grant", "--portal", HARBOUR, "--email", SAM, "--role", "staff")
    assert done.exit_code == 0, "he is staff already"
    assert lines(stage.app_driver) == before


def test_an_import_is_one_line(stage: Stage) -> None:
    stage.imported()
    assert [(line.kind, line.change) for line in lines(stage.app_driver)] == [(AuditKind.IMPORT_MADE, {"clients": 2})]


def test_signing_in_is_told_in_each_portal_of_the_team_and_in_no_other(stage: Stage) -> None:
    stage.run("user", "grant", "--portal", ALPINE, "--email", ADA, "--role", "staff")
    Browser(stage.app).sign_in(ADA, "wrong")
    Browser(stage.app).sign_in("carla@client.test", "wrong")
    Browser(stage.app).sign_in("nobody@harbour.test", "wrong")
    Browser(stage.app).sign_in("carla@client.test", PASSWORD)
    for portal_id in (HARBOUR, ALPINE):
        found = [line for line in lines(stage.app_driver, portal_id) if line.kind is AuditKind.SIGN_IN_FAILED]
        assert [line.target for line in found] == [ADA]
        assert AuditKind.SIGNED_IN not in kinds(stage.app_driver, portal_id)


def test_a_line_says_what_changed_in_our_own_words(stage: Stage) -> None:
    stage.run("user", "grant", "--portal", HARBOUR, "--email", SAM, "--role", "client_admin")
    stage.post("invitations", {"join_notice": "daily", "sends_reminders": "1", "gives_fresh_links": "1"})
    assert [(line.target, line.change) for line in lines(stage.app_driver)] == [
        (SAM, {"role": ["staff", "client_admin"]}),
        (None, {"sends_reminders": [False, True], "join_notice": [None, "daily"]}),
    ]


def test_a_client_of_a_shell_is_no_line_about_the_team(stage: Stage) -> None:
    register(stage.app, HARBOUR)
    assert hand_over(Browser(stage.app), signed(says(role="client"))).status_code == 303
    assert [line.kind for line in lines(stage.app_driver) if line.by is ActorKind.SHELL] == []


def test_whoever_is_renamed_was_somebody_before(stage: Stage) -> None:
    """A line keeps what somebody was called when it was added."""
    first = stage.client()
    stage.app_driver.let_presses_pass()
    stage.post(f"accounts/imported-clients/{first}/correct", {"company_name": "Suedwind", "email": "info@sued.test"})
    found: list[Line] = [line for line in lines(stage.app_driver) if line.target]
    assert [(line.kind, line.target) for line in found] == [
        (AuditKind.CLIENT_ADDED, INVITEE),
        (AuditKind.CLIENT_CORRECTED, "info@sued.test"),
    ]
    assert found[1].change == {"company_name": "changed", "email": "changed"}
