"""What an invitee and an admin do at the same moment has one legal outcome, always."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

import pytest
from flask import Flask

from app.clients.service import remove_client, resend_invite
from app.core.errors import Conflict
from app.models import EventKind, Role
from app.registration.service import DeadLink, accept
from app.registration.verification import send_verification_again
from tests.conftest import HARBOUR, Outbox
from tests.integration.registration.invitee import NORA, register, verification_link
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.factories import make_user
from tests.support.smtp import MailServer
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

ROUNDS = 3


def outcome(app_driver: AppDriver, call: Callable[..., None], *args: object) -> str:
    """How a service call ended, in a word."""
    try:
        app_driver.do(call, *args)
    except Conflict:
        return "conflict"
    except DeadLink as dead:
        return dead.state.value
    return "done"


def race(app_driver: AppDriver, admin: Browser, method: str, path: str, n: int) -> tuple[int, int, UUID]:
    """A client verifies at the moment an admin does something else; what each was answered."""
    email = f"racer{n}@nordwind.test"
    invitee, rival = Browser(app_driver.app), admin.twin()
    client_id = register(app_driver, email, invitee)
    link = verification_link(app_driver, email)
    target = f"{ic(HARBOUR)}/{client_id}{path}"
    # In the browser that registered no password is asked for, and judging one would let the other be first each time.
    verified, done = at_once([partial(invitee.post, link), partial(rival.send, method, target)])
    return verified.status_code, done.status_code, client_id


def test_verifying_races_with_removal(app_driver: AppDriver, admin: Browser) -> None:
    for n in range(ROUNDS):
        email = f"racer{n}@nordwind.test"
        verified, removed, client_id = race(app_driver, admin, "DELETE", "", n)
        assert (verified, removed) in {(303, 409), (404, 303)}
        assert app_driver.has_account(email) is (verified == 303)
        left = [status for _portal, address, status in app_driver.clients() if address == email]
        role = app_driver.role(email) if verified == 303 else None
        assert (removed, left, role) in [(409, ["joined"], Role.CLIENT), (303, [], None)]
        assert (EventKind.REMOVED in app_driver.kinds(client_id)) == (removed == 303)
        assert (EventKind.JOINED in app_driver.kinds(client_id)) == (removed == 409)


def test_verifying_races_with_resend(
    app_driver: AppDriver, admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    for n in range(ROUNDS):
        email = f"racer{n}@nordwind.test"
        verified, resent, client_id = race(app_driver, admin, "POST", "/resend", n)
        assert verified == 303
        assert resent in {303, 409}
        client = app_driver.client(email)
        assert client.is_joined
        assert client.generation == (2 if resent == 303 else 1)
        assert app_driver.kinds(client_id).count(EventKind.RESENT) == (1 if resent == 303 else 0)
        assert app_driver.role(email) is Role.CLIENT
    outbox.flush()
    assert [mail.link for mail in mail_server.mails if "/invitations/" in mail.link] == []


def test_registering_races_with_removal_and_resend(app_driver: AppDriver, admin: Browser, app: Flask) -> None:
    for n in range(ROUNDS):
        method, path = ("DELETE", "") if n % 2 else ("POST", "/resend")
        email = f"racer{n}@nordwind.test"
        client_id = app_driver.invite(email)
        link, target = app_driver.link(client_id), f"{ic(HARBOUR)}/{client_id}{path}"
        invitee, rival = Browser(app), admin.twin()
        invitee.csrf_token()
        registered, done = at_once([partial(invitee.post, link, NORA), partial(rival.send, method, target)])
        registered, done = registered.status_code, done.status_code
        assert (registered, done) in {(303, 303), (410, 303)}
        assert app_driver.has_account(email) is (registered == 303 and method == "POST")
        left = [status for _portal, address, status in app_driver.clients() if address == email]
        assert left == ([] if n % 2 else ["invite_sent"])


@pytest.mark.parametrize("rival", ["removes", "resends", "accepts"])
def test_accepting_races_with_whatever_else_happens_to_the_client(app_driver: AppDriver, rival: str) -> None:
    ada = app_driver.user("ada@harbour.test").id
    for n in range(ROUNDS):
        email = f"racer{n}@nordwind.test"
        user_id = app_driver.do(make_user, email, "Nora Wind")
        client_id = app_driver.invite(email)
        token = app_driver.link(client_id).rpartition("/")[2]
        accepting = partial(outcome, app_driver, accept, token, user_id)
        other = {
            "removes": partial(outcome, app_driver, remove_client, HARBOUR, client_id, ada),
            "resends": partial(outcome, app_driver, resend_invite, HARBOUR, client_id, ada),
            "accepts": accepting,
        }[rival]
        accepted, done = at_once([accepting, other])
        left = [status for _portal, address, status in app_driver.clients() if address == email]
        role = app_driver.role(email)
        if rival == "accepts":
            assert sorted([accepted, done]) == ["done", "used"]
            assert (left, role) == (["joined"], Role.CLIENT)
        elif accepted == "done":
            assert (done, left, role) == ("conflict", ["joined"], Role.CLIENT)
        elif rival == "removes":
            assert (accepted, done, left, role) == ("withdrawn", "done", [], None)
        else:
            assert (accepted, done, left, role) == ("replaced", "done", ["invite_sent"], None)


def test_sending_again_races_with_verifying(app_driver: AppDriver, app: Flask) -> None:
    for n in range(ROUNDS):
        email, invitee = f"racer{n}@nordwind.test", Browser(app)
        register(app_driver, email, invitee)
        user_id, link = app_driver.user(email).id, verification_link(app_driver, email)
        verified, _ = at_once([partial(invitee.post, link), partial(app_driver.do, send_verification_again, user_id)])
        assert verified.status_code in {303, 410}
        assert app_driver.user(email).is_verified is (verified.status_code == 303)
        assert app_driver.client(email).is_joined is (verified.status_code == 303)
