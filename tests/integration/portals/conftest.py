from __future__ import annotations

import pytest

from tests.conftest import Outbox
from tests.integration.portals.team import Team
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.smtp import MailServer


@pytest.fixture
def team(app_driver: AppDriver, admin: Browser, outbox: Outbox, mail_server: MailServer) -> Team:
    return Team(app_driver, admin, outbox, mail_server)
