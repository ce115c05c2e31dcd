"""Ending a client's access, and what the tab All then shows."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.clients.access import end_access, give_access_back
from app.core.errors import Conflict
from app.extensions import db
from tests.conftest import HARBOUR
from tests.integration.registration.invitee import INVITEE
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse
from tests.support.factories import PASSWORD
from tests.support.shell import says, signed

ALL = f"/portals/{HARBOUR}/settings/accounts"
CARLA = "carla@client.test"
"""Joined, without a row in the table."""
ENDED = "Your access has ended"


def path(app_driver: AppDriver, email: str, verb: str = "end-access") -> str:
    return f"{ALL}/{app_driver.user(email).id}/{verb}"


def end(app_driver: AppDriver, email: str = INVITEE) -> None:
    app_driver.do(end_access, HARBOUR, app_driver.user(email).id, app_driver.user("ada@harbour.test").id)


def give_back(app_driver: AppDriver, email: str = INVITEE) -> None:
    app_driver.do(give_access_back, HARBOUR, app_driver.user(email).id, app_driver.user("ada@harbour.test").id)


def row(admin: Browser, email: str) -> Any:
    (found,) = [tr for tr in parse(admin.get(ALL)).select("tr[data-user-id]") if email in tr.text]
    return found


def signed_in(app: Flask, email: str) -> Browser:
    browser = Browser(app)
    assert browser.sign_in(email, PASSWORD).status_code == 303
    return browser


def all_of(app_driver: AppDriver, model: Any) -> list[Any]:
    return list(app_driver.do(lambda: db.session.scalars(select(model)).all()))


def shells_nora(role: str = "client", **changes: Any) -> str:
    return signed(says(sub="nora-1", email=INVITEE, name="Nora Wind", role=role, **changes))


def refusal_of(app_driver: AppDriver, user_id: int) -> str:
    with pytest.raises(Conflict) as refused:
        app_driver.do(end_access, HARBOUR, user_id, app_driver.user("ada@harbour.test").id)
    return refused.value.message
