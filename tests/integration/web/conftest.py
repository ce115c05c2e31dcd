"""Fixtures for the tests of what browsers are sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from app.db.transactions import transaction
from app.models import Branding, Language, Stage
from tests.conftest import HARBOUR


@pytest.fixture
def speaks(app: Flask) -> Callable[..., None]:
    """Lets a portal invite in a language, as when its branding is published."""

    def publish(language: str, portal_id: str = HARBOUR) -> None:
        with app.app_context(), transaction() as session:
            session.merge(Branding(portal_id=portal_id, stage=Stage.PUBLISHED, language=Language(language)))

    return publish
