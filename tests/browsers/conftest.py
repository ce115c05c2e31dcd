"""Browsers of other makers than Chromium, each at the application behind a real port, with a real mail server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.browser.conftest import clients, environment, server, site
from tests.browsers.window import Window
from tests.conftest import own_app
from tests.support import webdriver
from tests.support.listening import COMPLAINTS, ScriptInPages
from tests.support.live import LiveServer
from tests.support.webdriver import WebDriver, find_browsers

__all__ = ["clients", "environment", "server", "site"]


@pytest.fixture
def app(environment: dict[str, str]) -> Iterator[Flask]:
    """One of the test's own, which is changed below."""
    with own_app(environment) as app:
        yield app


@pytest.fixture(params=["firefox", "webkit"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WebDriver]:
    profile = tmp_path / "profile"
    profile.mkdir()
    start = getattr(webdriver, request.param)
    with start(find_browsers()[request.param], profile) as driver:
        yield driver


@pytest.fixture
def window(driver: WebDriver, app: Flask, site: LiveServer) -> Iterator[Window]:
    """Somebody's window. At the end neither the pages nor the browser may have complained."""
    app.wsgi_app = ScriptInPages(app.wsgi_app)  # type: ignore[method-assign]
    window = Window(driver, site.url)
    window.is_as_wide_as(1280)
    yield window
    assert [*driver.script(COMPLAINTS), *driver.complaints()] == []
