"""The stranger of these tests is one who has registered with an address that is not theirs."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.integration.accounts.nora import NORA, STRANGERS
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser


@pytest.fixture
def stranger(app: Flask, app_driver: AppDriver) -> Browser:
    """Somebody to whom Nora has forwarded her invitation, and who has registered with it."""
    browser = Browser(app)
    assert browser.post(app_driver.link(app_driver.invite(NORA)), STRANGERS).status_code == 303
    return browser
