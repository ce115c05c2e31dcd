"""What every answer says of itself, and what is told when a token or the database is not what it was."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from tests.conftest import ALPINE, HARBOUR
from tests.support.browser import Browser, ic, parse

WEBHOOKS = f"/portals/{HARBOUR}/settings/webhooks"
ENDPOINT = {"url": "https://203.0.114.1/hooks", "events": ["client.joined", "client.removed"]}


def test_every_answer_of_ours_says_so_and_whose_session_it_was_for(admin: Browser, nobody: Browser) -> None:
    answers = [
        admin.get(f"{ic(HARBOUR)}/table", htmx=True),
        admin.post(ic(HARBOUR), csrf=False, htmx=True),
        admin.get(ic(HARBOUR)),
        admin.get("/nowhere"),
        nobody.get(f"{ic(HARBOUR)}/table", htmx=True),
        nobody.get("/healthz"),
        nobody.get("/static/app.js"),
    ]
    assert [answer.headers["X-Imported-Clients"] for answer in answers] == ["1"] * 7
    person = parse(answers[2]).select_one("[data-person]")["data-person"]
    assert [answer.headers.get("X-Signed-In-As") for answer in answers] == [person, person, *[None] * 5]


def test_a_new_token_is_told_to_our_own_scripts_only(admin: Browser, nobody: Browser) -> None:
    address = f"/portals/{HARBOUR}/session"
    found = admin.get(address, htmx=True)
    assert found.get_json()["name"] == "Ada Berg"
    fields = {"company_name": "Nordwind", "email": "info@nordwind.test", "csrf_token": found.get_json()["csrf_token"]}
    assert admin.post(ic(HARBOUR), fields, csrf=False).status_code == 303
    refused = admin.post(ic(HARBOUR), fields | {"csrf_token": "old"}, csrf=False, htmx=True)
    assert (refused.status_code, refused.headers["X-CSRF-Outdated"]) == (400, "true")
    # Another site could have a browser ask for it, but not with this header, and could not read it.
    assert admin.get(address).headers["Location"] == f"/portals/{HARBOUR}/settings/accounts"
    for answer in (found, refused):
        assert not [name for name, _value in answer.headers if name.lower().startswith("access-control")]
        assert answer.headers["Cache-Control"] == "no-store"
    assert nobody.get(address, htmx=True).status_code == 401
    assert admin.get(f"/portals/{ALPINE}/session", htmx=True).status_code == 404


def test_without_a_script_what_was_typed_is_shown_with_a_way_back(admin: Browser) -> None:
    typed = ENDPOINT | {"csrf_token": "old", "password": "a secret"}
    came_from = {"Referer": f"http://clients.harbour.test{WEBHOOKS}?x=1"}
    refused = admin.post(WEBHOOKS, typed, csrf=False, headers=came_from)
    assert refused.status_code == 400
    assert "Please reload the page with the form" in refused.text
    for text in (ENDPOINT["url"], "client.joined, client.removed"):
        assert text in refused.text
    assert "a secret" not in refused.text
    assert parse(refused).find("a", string="Open the page again")["href"] == f"{WEBHOOKS}?x=1"


NOTICE = {"Security notice": "Your account is locked: call +1 900 555", "email": "ada@harbour.test"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://clients.harbour.test"},
        {"Origin": "https://evil.test"},
        {"Origin": "https://clients.harbour.test.evil.test"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
    ids=str,
)
def test_another_site_cannot_have_its_words_shown_as_ours(nobody: Browser, headers: dict[str, str]) -> None:
    refused = nobody.post("/login", NOTICE, csrf=False, headers=headers | {"Referer": "https://evil.test/logout"})
    assert refused.status_code == 400
    theirs = ("Security notice", "+1 900", "ada@harbour.test", "typed", "logout")
    assert not [text for text in theirs if text in refused.text]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://clients.harbour.test"},
        # Where a proxy hides the public host.
        {"Origin": "http://clients.harbour.test", "Host": "10.0.0.7:8000"},
        {"Origin": "http://10.0.0.7:8000", "Host": "10.0.0.7:8000"},
    ],
    ids=str,
)
def test_what_was_typed_on_our_page_is_shown_with_the_label_of_its_field(
    nobody: Browser, headers: dict[str, str]
) -> None:
    refused = nobody.post("/login", {"email": "ada@harbour.test"}, csrf=False, headers=headers)
    facts = parse(refused).select_one("dl.facts")
    assert facts.get_text(" ", strip=True) == "Email ada@harbour.test"


@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_was_done_is_said_only_while_nothing_is_committed(app: Flask, admin: Browser, when: str) -> None:
    """The answer to a new endpoint reads from the database after its commit."""
    is_committed = when == "before"

    def note(_session: Session) -> None:
        nonlocal is_committed
        is_committed = True

    def fail(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if is_committed and "webhook" in statement:
            raise RuntimeError("a bug")

    admin.csrf_token()
    event.listen(Session, "after_commit", note)
    event.listen(Engine, "before_cursor_execute", fail)
    failed = admin.post(WEBHOOKS, ENDPOINT)
    event.remove(Engine, "before_cursor_execute", fail)
    event.remove(Session, "after_commit", note)
    assert failed.status_code == 500
    assert ("Nothing was changed" in failed.text) == (when == "before")
    assert ("Check whether your change was saved" in failed.text) == (when == "after")
    assert (ENDPOINT["url"] in admin.get(WEBHOOKS).text) == (when == "after")
