"""A button that is pressed twice does once what it does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
import time_machine
from flask import Flask

from app.clients.service import resend_invite
from app.models import EventKind, Role
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.databases import on_sqlite
from tests.support.factories import PASSWORD, make_member
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

NORD = "info@nordwind.test"
Press = Callable[[Browser], tuple[int, str]]


@pytest.fixture
def client_id(app_driver: AppDriver) -> UUID:
    return app_driver.invite(NORD)


@pytest.fixture
def colleague(app: Flask) -> Browser:
    """Another client admin."""
    with app.app_context():
        make_member(HARBOUR, "bert@harbour.test", "Bert Holm", Role.CLIENT_ADMIN)
    browser = Browser(app)
    assert browser.sign_in("bert@harbour.test", PASSWORD).status_code == 303
    return browser


def pressing(how: str, client_id: UUID) -> Press:
    path, form = {
        "resend": (f"{client_id}/resend", {}),
        "bulk resend": ("bulk/resend", {"client_id": str(client_id)}),
        "edit and resend": (f"{client_id}/correct", {"company_name": "Nordwind", "email": "post@nordwind.test"}),
    }[how]

    def press(browser: Browser) -> tuple[int, str]:
        answer = browser.post(f"{ic(HARBOUR)}/{path}", form, htmx=True)
        return answer.status_code, answer.text

    return press


every_way = pytest.mark.parametrize("how", ["resend", "bulk resend", "edit and resend"])


@on_sqlite
@every_way
def test_it_is_one_invitation_with_one_mail_and_the_same_answer(
    admin: Browser, app_driver: AppDriver, client_id: UUID, how: str
) -> None:
    press = pressing(how, client_id)
    answers = [press(admin) for _ in range(3)]
    assert answers[0][0] == 200
    assert len(set(answers)) == 1
    assert [mail.generation for mail in app_driver.mails()] == [2]
    again = {EventKind.RESENT, EventKind.CORRECTED}
    assert len([kind for kind in app_driver.kinds(client_id) if kind in again]) == 1


@every_way
def test_pressed_at_the_same_moment_too(admin: Browser, app_driver: AppDriver, client_id: UUID, how: str) -> None:
    press = pressing(how, client_id)
    admin.csrf_token()
    answers = at_once([partial(press, admin.twin()) for _ in range(4)])
    assert {status for status, _text in answers} == {200}
    assert [mail.generation for mail in app_driver.mails()] == [2]


@on_sqlite
def test_it_is_the_same_even_when_the_first_was_the_last_that_a_limit_allows(
    admin: Browser, app_driver: AppDriver, client_id: UUID
) -> None:
    app_driver.use_up_mails(NORD, left=2)
    for how in ("resend", "bulk resend", "resend"):
        assert pressing(how, client_id)(admin)[0] == 200
    assert [mail.generation for mail in app_driver.mails()] == [2]


def test_a_while_later_by_somebody_else_or_with_other_values_it_is_another(
    admin: Browser, colleague: Browser, app_driver: AppDriver, client_id: UUID
) -> None:
    resend = pressing("resend", client_id)
    resend(admin)
    resend(colleague)
    assert app_driver.client(NORD).generation == 3
    resend(admin)
    assert app_driver.client(NORD).generation == 4
    pressing("edit and resend", client_id)(admin)
    assert app_driver.client("post@nordwind.test").generation == 5
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=6)):
        resend(admin)
    assert app_driver.client("post@nordwind.test").generation == 6


def test_a_process_whose_clock_is_ahead_does_not_hold_up_the_next_resend(
    app_driver: AppDriver, client_id: UUID
) -> None:
    ada = app_driver.user("ada@harbour.test").id
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=10)):
        app_driver.do(resend_invite, HARBOUR, client_id, ada)
    app_driver.do(resend_invite, HARBOUR, client_id, ada)
    assert app_driver.client(NORD).generation == 3


def test_of_a_selection_only_those_that_were_not_resent_just_now_are(admin: Browser, app_driver: AppDriver) -> None:
    first, second = (app_driver.invite(f"{name}@client.test") for name in ("first", "second"))
    pressing("resend", first)(admin)
    answer = admin.post(f"{ic(HARBOUR)}/bulk/resend", {"client_id": [str(first), str(second)]}, htmx=True)
    assert "2 invitations resent." in answer.text
    assert sorted(mail.generation for mail in app_driver.mails()) == [2, 2]
