"""The page Settings, Webhooks is where an admin adds endpoints and reads what became of each delivery."""

from __future__ import annotations

from werkzeug.test import TestResponse

from tests.conftest import HARBOUR
from tests.support.browser import Browser, parse, words

PAGE = f"/portals/{HARBOUR}/settings/webhooks"

EVENTS = ["client.invited", "client.delivery_failed", "client.joined", "client.removed"]


def add(admin: Browser, url: str, events: list[str] | None = None, description: str = "") -> TestResponse:
    fields = {"url": url, "description": description, "events": EVENTS if events is None else events}
    return admin.post(PAGE, fields)


def rows(admin: Browser) -> list[tuple[str, str, str]]:
    """What the page says of each delivery: its state, its event, and what stands in the column of the state."""
    return [
        (tr["data-state"], words(tr.select_one("code")), words(tr.select_one("[data-col=state]")))  # type: ignore[misc]
        for tr in parse(admin.get(PAGE)).select("tr[data-delivery]")
    ]
