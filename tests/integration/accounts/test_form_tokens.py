"""A form whose token is not right does nothing and keeps what was typed."""

from __future__ import annotations

from uuid import UUID

from flask import Flask

from tests.conftest import HARBOUR
from tests.integration.accounts.signing_in import ADA, is_signed_in
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import dump


def test_a_form_without_the_right_token_does_nothing_and_keeps_what_was_typed(
    app: Flask, admin: Browser, nobody: Browser
) -> None:
    typed = {"company_name": "Nordwind <Reisen>", "email": "typed@client.test"}
    wrong = {
        "missing": {},
        "empty": {"csrf_token": ""},
        "garbage": {"csrf_token": "garbage"},
        "of another session": {"csrf_token": nobody.csrf_token()},
        "changed": {"csrf_token": admin.csrf_token()[:-1]},
    }
    with app.app_context():
        before = dump()
    for what, token in wrong.items():
        page = admin.post(ic(HARBOUR), typed | token, csrf=False)
        assert page.status_code == 400, what
        text = words(parse(page))
        assert "reload" in text
        assert "Nothing was changed" in text
        assert all(value in text for value in typed.values()), what
        # htmx: one sentence, put where the eye is; the form is left as it stands.
        for target, slot in {
            "dialog-content": "#dialog-alert",
            "div#dialog-content": "#dialog-alert",
            "div#page-alert": "#page-alert",
            "": "#page-alert",
        }.items():
            fragment = admin.post(ic(HARBOUR), typed | token, csrf=False, htmx=True, headers={"HX-Target": target})
            assert fragment.status_code == 400, what
            assert "reload" in fragment.text
            assert not parse(fragment).select("html, form, input")
            assert (fragment.headers["HX-Retarget"], fragment.headers["HX-Reswap"]) == (slot, "innerHTML")
    with app.app_context():
        assert dump() == before


def test_a_token_may_come_as_a_header(admin: Browser) -> None:
    typed = {"company_name": "Nordwind", "email": "typed@client.test"}
    added = admin.post(ic(HARBOUR), typed, csrf=False, headers={"X-CSRFToken": admin.csrf_token()})
    assert added.status_code == 303
    page = parse(admin.get(ic(HARBOUR)))
    (meta,) = page.select("meta[name=csrf-token]")
    assert admin.post(ic(HARBOUR), typed, csrf=False, headers={"X-CSRFToken": meta["content"]}).status_code == 303


def test_no_password_is_shown_back(nobody: Browser) -> None:
    for page in ("/login", "/password-reset/x", "/invitations/x"):
        refused = nobody.post(page, {"email": ADA, "name": "Ada", "password": "my secret words"}, csrf=False)
        assert refused.status_code == 400
        assert ADA in refused.text
        assert "my secret words" not in refused.text


def test_no_form_acts_without_a_token(app: Flask, admin: Browser) -> None:
    """Every address that takes a form, now and in future, but for those that take a signed token instead."""
    signed = ("handover.", "unsubscribe.")
    for rule in [one for one in app.url_map.iter_rules() if not one.endpoint.startswith(signed)]:
        for method in (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}:
            ids = {"portal_id": HARBOUR, "token": "x", "member_id": "1", "user_id": "1"}
            built = rule.build({name: ids.get(name, str(UUID(int=0))) for name in rule.arguments})
            assert built
            assert admin.send(method, built[1], csrf=False).status_code == 400, f"{method} {rule}"
    assert is_signed_in(admin)
