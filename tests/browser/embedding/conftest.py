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
from tests.support.embedding import Visitor, Way, hosting, other_site, visiting
from tests.support.host_shell import PREFIX, HostShell
from tests.support.live import LiveServer

Show = Callable[..., tuple[HostShell, Visitor]]


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"TRUSTED_PROXIES": "1"}


@pytest.fixture
def show(chromium_browser: Browser, site: LiveServer, app: Flask) -> Iterator[Show]:
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
            server = stack.enter_context(hosting(host))
            url = server.url if way == "inline" else other_site(server)
            if way == "framed" and is_registered:
                with app.app_context():
                    allow_origin(HARBOUR, url)
            return host, stack.enter_context(visiting(chromium_browser, url))

        yield start
