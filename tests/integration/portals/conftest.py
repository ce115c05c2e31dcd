"""A client who has joined."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.registration.service import accept
from tests.integration.registration.invitee import INVITEE
from tests.support.app_driver import AppDriver
from tests.support.factories import make_user


@pytest.fixture
def nora(app_driver: AppDriver) -> UUID:
    """An invited client who has joined; the id of her row."""
    client_id = app_driver.invite(INVITEE)
    app_driver.do(make_user, INVITEE, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id).rpartition("/")[2], app_driver.user(INVITEE).id)
    return client_id
