"""Whatever happens, ended access stays ended: hand-overs, verification, and all at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import delete, event, select, text, update

from app.clients.access import end_access, give_access_back
from app.core.errors import Conflict, DomainError
from app.db.transactions import transaction
from app.extensions import db
from app.models import (
    EndedAccess,
    EventKind,
    LoginSession,
    Membership,
    Role,
    ShellAccount,
    User,
    WebhookDelivery,
    WebhookEvent,
)
from app.portals.service import grant_role
from app.webhooks.endpoints import EVENTS, add_endpoint
from tests.conftest import ALPINE, HARBOUR
from tests.integration.portals.ending import (
    CARLA,
    ENDED,
    all_of,
    end,
    give_back,
    refusal_of,
    row,
    shells_nora,
    signed_in,
)
from tests.integration.portals.team import FORM, Team
from tests.integration.registration.invitee import INVITEE, heading, register, verification_link
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import make_user
from tests.support.processes import wait_until
from tests.support.shell import hand_over, log_out, says, signed
from tests.support.shell import register as register_shell
from tests.support.together import at_once


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.mark.both_databases
def test_hand_overs_do_not_bring_it_back(app: Flask, app_driver: AppDriver, admin: Browser, nora: UUID) -> None:
    register_shell(app, HARBOUR, ALPINE)
    browser = Browser(app)
    assert hand_over(browser, shells_nora()).status_code == 303
    end(app_driver)
    assert [one for one in all_of(app_driver, LoginSession) if one.portal_id == HARBOUR] == []

    for role in ("client", "staff", "client_admin"):
        for fields in ({}, {"framed": "1"}):
            refused = hand_over(Browser(app), shells_nora(role), **fields)
            assert (refused.status_code, heading(refused)) == (403, ENDED)
            assert "Harbour Tours" in refused.text
    # Another person of the shell with her address is she.
    assert hand_over(Browser(app), signed(says(sub="nora-2", email=INVITEE, role="client"))).status_code == 403
    assert log_out(browser, sub="nora-1", portal=HARBOUR, role="staff").status_code == 200
    assert app_driver.role(INVITEE) is None
    # The other portal has nothing against her.
    assert hand_over(Browser(app), shells_nora(portal=ALPINE)).status_code == 303

    give_back(app_driver)
    assert hand_over(Browser(app), shells_nora("staff")).status_code == 303
    assert app_driver.role(INVITEE) is Role.STAFF


def test_who_came_through_a_shell_alone_is_ended_whatever_address_the_shell_says_next(
    app: Flask, app_driver: AppDriver, admin: Browser
) -> None:
    register_shell(app, HARBOUR)
    app_driver.do(add_endpoint, HARBOUR, "https://127.0.0.1:1/hook", "", EVENTS)
    hanna = {"sub": "hanna-7", "name": "Hanna Ek", "role": "client"}
    assert hand_over(Browser(app), signed(says(**hanna))).status_code == 303
    assert row(admin, "hanna@shell.test").select_one("[id^=access-]")
    end(app_driver, "hanna@shell.test")
    (told,) = all_of(app_driver, WebhookDelivery)
    assert (told.event, told.client_id, told.email) == (WebhookEvent.CLIENT_ACCESS_ENDED, None, "hanna@shell.test")

    def comes(email: str) -> int:
        return hand_over(Browser(app), signed(says(**hanna, email=email))).status_code

    assert comes("hanna@shell.test") == 403
    assert comes("new@shell.test") == 403
    # An account with the new address, to which the shell's person is linked from then on.
    app_driver.do(make_user, "else@shell.test", "Hanna Else")
    assert comes("else@shell.test") == 403
    # In the portal's table she can be invited, but the link says what is.
    client_id = app_driver.invite("hanna@shell.test")
    assert heading(Browser(app).get(app_driver.link(client_id))) == ENDED
    assert all_of(app_driver, ShellAccount)[0].user_id == app_driver.do(
        lambda: db.session.scalar(select(EndedAccess.user_id))
    )


@pytest.mark.both_databases
def test_who_has_registered_and_not_verified_yet_joins_without_access(
    app: Flask, app_driver: AppDriver, admin: Browser
) -> None:
    """A shell had made a separate account with her address; its access is ended before she verifies hers."""
    register_shell(app, HARBOUR)
    invitee = Browser(app)
    client_id = register(app_driver, INVITEE, invitee)
    assert hand_over(Browser(app), shells_nora()).status_code == 303
    separate = app_driver.do(lambda: db.session.scalar(select(User.id).where(User.vouched_by.is_not(None))))
    app_driver.do(end_access, HARBOUR, separate, app_driver.user("ada@harbour.test").id)
    assert invitee.post(verification_link(app_driver)).status_code == 303
    assert app_driver.client(INVITEE).is_joined
    assert app_driver.role(INVITEE) is None
    assert hand_over(Browser(app), shells_nora()).status_code == 403
    (line,) = parse(admin.get(ic(HARBOUR))).select("tr[data-client-id]")
    assert "Access ended" in words(line.select_one("[data-col=status]"))
    give_back(app_driver)
    assert app_driver.role(INVITEE) is Role.CLIENT
    assert app_driver.kinds(client_id)[-1] is EventKind.ACCESS_GIVEN_BACK


def test_a_colleague_who_has_registered_verifies_without_a_role(app: Flask, app_driver: AppDriver, team: Team) -> None:
    register_shell(app, HARBOUR)
    assert team.invite(INVITEE).status_code == 303
    colleague = Browser(app)
    assert colleague.post(team.link(INVITEE), FORM).status_code == 303
    assert hand_over(Browser(app), shells_nora()).status_code == 303
    separate = app_driver.do(lambda: db.session.scalar(select(User.id).where(User.vouched_by.is_not(None))))
    app_driver.do(end_access, HARBOUR, separate, app_driver.user("ada@harbour.test").id)
    assert colleague.post(verification_link(app_driver)).status_code == 303
    assert app_driver.user(INVITEE).is_verified
    assert app_driver.role(INVITEE) is None


def test_one_of_the_team_with_a_client_s_address_is_let_in(app: Flask, app_driver: AppDriver) -> None:
    register_shell(app, HARBOUR)
    sam = says(sub="sam-1", email="sam@harbour.test", role="staff")
    with app.app_context(), transaction() as session:
        twin = User(
            email="sam@harbour.test", vouched_by="https://else.test", name="Sam", name_folded="sam", password_hash=""
        )
        session.add(twin)
        session.flush()
        session.add(Membership(portal_id=HARBOUR, user_id=twin.id, role=Role.CLIENT))
        twin_id = twin.id
    app_driver.do(end_access, HARBOUR, twin_id, app_driver.user("ada@harbour.test").id)
    assert app_driver.role("sam@harbour.test") is Role.STAFF
    assert hand_over(Browser(app), signed(sam)).status_code == 303


def outcome(app_driver: AppDriver, call: Callable[..., Any], *args: object) -> str:
    try:
        app_driver.do(call, *args)
    except Conflict:
        return "conflict"
    return "done"


@pytest.mark.both_databases
def test_at_the_same_moment_there_is_one_legal_outcome(app: Flask, app_driver: AppDriver, nora: UUID) -> None:
    register_shell(app, HARBOUR)
    ada = app_driver.user("ada@harbour.test").id
    user_id = app_driver.user(INVITEE).id
    ending = partial(outcome, app_driver, end_access, HARBOUR, user_id, ada)
    giving = partial(outcome, app_driver, give_access_back, HARBOUR, user_id, ada)

    def state() -> tuple[bool, bool]:
        return app_driver.role(INVITEE) is not None, bool(all_of(app_driver, EndedAccess))

    assert hand_over(Browser(app), shells_nora()).status_code == 303
    for _round in range(2):
        # A double press.
        assert sorted(at_once([ending, ending])) == ["conflict", "done"]
        assert state() == (False, True)
        # It is given back while the shell hands her over.
        handed, given = at_once([lambda: hand_over(Browser(app), shells_nora()).status_code, giving])
        assert handed in {303, 403}
        assert (given, state()) == ("done", (True, False))
        # It is ended while the shell hands her over: no session is left of that.
        handed, ended = at_once([lambda: hand_over(Browser(app), shells_nora()).status_code, ending])
        assert handed in {303, 403}
        assert (ended, state()) == ("done", (False, True))
        assert [one for one in all_of(app_driver, LoginSession) if one.user_id == user_id] == []
        # Both by two admins.
        given, ended = at_once([giving, ending])
        assert (given, ended, state()) in {("done", "done", (False, True)), ("done", "conflict", (True, False))}
        if ended == "done":
            giving()


@pytest.mark.both_databases
def test_a_first_hand_over_and_a_joining_race_with_it(app: Flask, app_driver: AppDriver) -> None:
    """Of an account that is about to be linked, and of one that is about to accept."""
    register_shell(app, HARBOUR)
    ada, user_id = (app_driver.user(email).id for email in ("ada@harbour.test", CARLA))
    client_id = app_driver.invite(CARLA)
    token = app_driver.link(client_id).rpartition("/")[2]
    carla = signed_in(app, CARLA)
    first = signed(says(sub="carla-1", email=CARLA, role="client"))
    handed, accepted, ended = at_once(
        [
            lambda: hand_over(Browser(app), first).status_code,
            lambda: carla.post(f"/invitations/{token}").status_code,
            partial(outcome, app_driver, end_access, HARBOUR, user_id, ada),
        ]
    )
    assert handed in {303, 403}
    assert accepted in {303, 409, 410}
    assert ended == "done"
    assert app_driver.role(CARLA) is None
    assert len(all_of(app_driver, EndedAccess)) == 1


def test_older_code_that_lets_somebody_in_beside_it_is_no_trap(app: Flask, app_driver: AppDriver, nora: UUID) -> None:
    end(app_driver)
    user_id = app_driver.user(INVITEE).id
    with app.app_context(), transaction() as session:
        session.add(Membership(portal_id=HARBOUR, user_id=user_id, role=Role.CLIENT))
    with pytest.raises(DomainError):
        give_back(app_driver)
    end(app_driver)
    assert app_driver.role(INVITEE) is None
    give_back(app_driver)
    with app.app_context(), transaction() as session:
        session.execute(update(Membership).where(Membership.user_id == user_id).values(role=Role.STAFF))
        session.execute(delete(EndedAccess))
    assert "team" in refusal_of(app_driver, user_id)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("role", Role)
def test_who_is_given_a_role_meanwhile_waits_for_it(app: Flask, app_driver: AppDriver, nora: UUID, role: Role) -> None:
    """On PostgreSQL, somebody gives a role between the end of the membership and the commit. SQLite has one writer."""
    user_id, ada = (app_driver.user(email).id for email in (INVITEE, "ada@harbour.test"))
    is_ending = Event()

    def listen(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("DELETE FROM membership"):
            is_ending.set()
            wait_until(is_somebody_waiting, "the role waits for the account")

    def is_somebody_waiting() -> bool:
        with db.engine.connect() as connection:
            return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    def give() -> str:
        assert is_ending.wait(30)
        return outcome(app_driver, grant_role, HARBOUR, INVITEE, role)

    with app.app_context():
        event.listen(db.engine, "after_cursor_execute", listen)
        try:
            done = at_once([partial(outcome, app_driver, end_access, HARBOUR, user_id, ada), give])
        finally:
            event.remove(db.engine, "after_cursor_execute", listen)
    assert done == ["done", "conflict"]
    assert app_driver.role(INVITEE) is None
