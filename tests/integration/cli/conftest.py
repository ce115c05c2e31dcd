from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.support.shared import SharedApps


@pytest.fixture
def with_settings(app: Flask, environment: dict[str, str], shared_apps: SharedApps) -> Callable[..., Flask]:
    """As `reconfigured`, but the application is made once for all tests: they leave it as it is."""

    def find(**changes: str | None) -> Flask:
        settings = environment | changes
        return shared_apps.get({name: text for name, text in settings.items() if text is not None})

    return find
