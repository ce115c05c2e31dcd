"""Fixtures for the tests of the table and its actions."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.conftest import HARBOUR
from tests.support.factories import invite


@pytest.fixture
def ids(app: Flask) -> list[str]:
    """Three pending clients of the harbour, in this order."""
    with app.app_context():
        return [invite(HARBOUR, f"c{n}@client.test", f"Company {n}") for n in range(3)]
