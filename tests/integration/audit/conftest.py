from __future__ import annotations

import pytest
from flask import Flask

from tests.conftest import Outbox
from tests.integration.audit.stage import Stage
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.smtp import MailServer


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "KEEP_INVITATIONS_DAYS": "30"}


@pytest.fixture
def stage(app: Flask, app_driver: AppDriver, admin: Browser, outbox: Outbox, mail_server: MailServer) -> Stage:
    return Stage(app, app_driver, admin, outbox, mail_server)
