"""Receivers on loopback that a portal's webhooks may reach, and two clients to tell them of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from flask import Flask

from tests.support.webhooks import Receiver, Webhooks

NORDWIND, BERGHOF = "info@nordwind.test", "post@berghof.test"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    # Where the test's own receivers are.
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "OUTBOX_INTERVAL_SECONDS": "0.1"}


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    """Starts receivers; whatever they get has to be genuine."""
    started: list[Receiver] = []
    with ExitStack() as stack:

        def start() -> Receiver:
            started.append(stack.enter_context(Receiver()))
            return started[-1]

        yield start
    assert [one.fakes for one in started] == [[] for _ in started]


@pytest.fixture
def webhooks(app: Flask) -> Webhooks:
    return Webhooks(app)


@pytest.fixture
def receiver(receivers: Callable[[], Receiver]) -> Receiver:
    """One that no portal knows yet."""
    return receivers()
