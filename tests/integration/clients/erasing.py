"""Somebody to erase, and erasing her."""

from __future__ import annotations

from typing import Any

from flask import Flask

from app.webhooks.endpoints import EVENTS, add_endpoint
from tests.conftest import HARBOUR
from tests.integration.cli.running import logged
from tests.support.app_driver import AppDriver

ADA, BEN = "ada@harbour.test", "ben@harbour.test"
WANDA, TYPED = "wanda@zephyr.test", "wnada@zephyr.test"
NAME, COMPANY, MISSPELT = "Wanda Wehe", "Zephyr Reisen Ü", "Zefyr Reisen"
FILES = {"the file", "the write-ahead log", "the dump"}
ALL = (WANDA, TYPED, NAME, COMPANY, MISSPELT, "Zephyr-Reisen", "Zephyr_Reisen")
QUOTE = f"550 5.1.1 <{WANDA}> is nobody here"


def words(email: str = WANDA, portal_id: str = HARBOUR) -> list[str]:
    return ["client", "erase", "--portal", portal_id, "--email", email]


def erased(app: Flask, email: str = WANDA) -> dict[str, Any]:
    """Erase, and return the one line of the log."""
    line = logged(app, *words(email), "--yes")
    assert not any(text.lower() in repr(line).lower() for text in ALL)
    return line


def endpoint(app_driver: AppDriver) -> None:
    app_driver.do(add_endpoint, HARBOUR, "https://127.0.0.1:1/hook", "", EVENTS)
