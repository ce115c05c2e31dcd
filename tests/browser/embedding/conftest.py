"""Pages of a host shell that show us, and people at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from flask import Flask
from playwright.sync_api import Browser

from app.embed.service import allow_origin
from tests.conftest import HARBOUR
from tests.support import shell
from tests.support.chromium import Windows
from tests.support.embedding import Visitor, Way, other_site, visiting
from tests.support.host_shell import PREFIX, HostShell
from tests.support.live import LiveServer

Show = Callable[..., tuple[HostShell, Visitor]]


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"TRUSTED_PROXIES": "1"}


@pytest.fixture(scope="session")
def shell_server() -> Iterator[LiveServer]:
    """Where the shells are, one after the other."""
    server = LiveServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _visitors_windows(chromium_browser: Browser) -> Iterator[Windows[Visitor]]:
    windows = Windows(chromium_browser, Visitor)
    yield windows
    windows.close()


@pytest.fixture
def visitors_windows(
    request: pytest.FixtureRequest, chromium_browser: Browser, _visitors_windows: Windows[Visitor]
) -> Windows[Visitor]:
    has_own = "own_windows" in request.fixturenames
    return Windows(chromium_browser, Visitor, keeps=False) if has_own else _visitors_windows


@pytest.fixture
def show(visitors_windows: Windows[Visitor], shell_server: LiveServer, site: LiveServer, app: Flask) -> Iterator[Show]:
    """Starts a shell that may hand people over, and brings somebody to it; gives both.

    Its pages show us in themselves, or in a frame on another site; then they are registered, unless said otherwise.
    """
    shell.register(app, HARBOUR)
    with ExitStack() as stack:

        def start(
            way: Way = "inline", *, htmx: str | None = None, is_registered: bool = True
        ) -> tuple[HostShell, Visitor]:
            ours = PREFIX if way == "inline" else site.url
            host = HostShell(app, ours=ours, htmx=htmx, aud=site.url)
            shell_server.start(host)
            stack.callback(shell_server.rest)
            stack.callback(host.release)
            url = shell_server.url if way == "inline" else other_site(shell_server)
            if way == "framed" and is_registered:
                with app.app_context():
                    allow_origin(HARBOUR, url)
            return host, stack.enter_context(visiting(visitors_windows, url))

        yield start
