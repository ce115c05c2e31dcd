"""A host shell speaks for one portal and has handed Hanna over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.conftest import HARBOUR
from tests.support.browser import Browser
from tests.support.shell import hand_over, register


@pytest.fixture
def shell(app: Flask) -> None:
    """A shell that speaks for Harbour Tours, and for no other portal."""
    register(app, HARBOUR)


@pytest.fixture
def hanna(app: Flask, shell: None) -> Browser:
    browser = Browser(app)
    assert hand_over(browser).status_code == 303
    return browser


@pytest.fixture
def lines(app: Flask, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """What has been logged since it was asked last."""
    capsys.readouterr()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
