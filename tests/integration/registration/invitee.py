"""Somebody who was invited registers, and reads what the pages of the links say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import time_machine
from werkzeug.test import TestResponse

from app.core.links import LinkClaim, LinkKind, make_url
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, words

INVITEE = "info@nordwind.test"
PASSPHRASE = "a long enough passphrase"
NORA = {"name": "Nora Wind", "password": PASSPHRASE}
CHOSEN = {"password": PASSPHRASE}
"""What verifies in another browser than the one that registered."""
SECOND = timedelta(seconds=1)

SAYS = {
    "expired": "This invitation has expired",
    "replaced": "This invitation was replaced by a newer one",
    "withdrawn": "This invitation was withdrawn",
    "used": "This invitation was already used",
}


def heading(response: TestResponse) -> str:
    return words(parse(response).h1)


def buttons(response: TestResponse) -> list[str]:
    """The buttons that work without JavaScript, but for the quiet one to decline (see test_declining.py)."""
    return [words(button) for button in parse(response).select("main form:not(.decline) button[type=submit]")]


def text(response: TestResponse) -> str:
    return words(parse(response))


def assert_dead(browser: Browser, link: str, state: str) -> None:
    """GET and POST alike say 410 and why."""
    for answer in (browser.get(link), browser.post(link, NORA), browser.post(link)):
        assert (answer.status_code, heading(answer)) == (410, SAYS[state])
        assert "Harbour Tours" in answer.text
        assert (heading(answer) == SAYS["used"]) == ("/login" in answer.text)


def at(moment: datetime | None) -> time_machine.travel:
    """Stand still at a moment of the application's clock."""
    assert moment is not None
    return time_machine.travel(moment, tick=False)


def later(**delta: float) -> time_machine.travel:
    """Move on, while the clock goes on."""
    return time_machine.travel(datetime.now(UTC) + timedelta(**delta), tick=True)


def register(app_driver: AppDriver, email: str = INVITEE, browser: Browser | None = None) -> UUID:
    """An invited client who has registered and not verified yet."""
    client_id = app_driver.invite(email)
    registered = (browser or Browser(app_driver.app)).post(app_driver.link(client_id), NORA)
    assert registered.status_code == 303
    return client_id


def verification_link(app_driver: AppDriver, email: str = INVITEE) -> str:
    """The newest one, whether it was mailed yet or not."""
    user = app_driver.user(email)
    return str(app_driver.do(make_url, LinkKind.VERIFICATION, LinkClaim(str(user.id), user.verification_generation)))
