"""The team, and a client who has joined."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.registration.service import accept
from tests.conftest import Outbox
from tests.integration.portals.team import Team
from tests.integration.registration.invitee import INVITEE
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.factories import make_user
from tests.support.smtp import MailServer


@pytest.fixture
def team(app_driver: AppDriver, admin: Browser, outbox: Outbox, mail_server: MailServer) -> Team:
    return Team(app_driver, admin, outbox, mail_server)


@pytest.fixture
def nora(app_driver: AppDriver) -> UUID:
    """An invited client who has joined; the id of her row."""
    client_id = app_driver.invite(INVITEE)
    app_driver.do(make_user, INVITEE, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id).rpartition("/")[2], app_driver.user(INVITEE).id)
    return client_id
