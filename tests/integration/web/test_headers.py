"""What every answer carries beside its text, where its addresses lead, and how much it weighs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse
from tests.support.factories import PASSWORD, as_if_that_had_been, import_file, invite
from tests.support.smtp import MailServer

ACCOUNTS = f"/portals/{HARBOUR}/settings/accounts"
EVIL = {"Host": "evil.test", "X-Forwarded-Host": "evil.test", "X-Forwarded-Prefix": "/evil.test", "Origin": "evil.test"}

# Attributes by which a browser fetches or leads on.
ADDRESSES = ("src", "srcset", "href", "action", "formaction", "poster", "data", "hx-get", "hx-post", "hx-delete")


@pytest.fixture
def invitation_link(app: Flask, outbox: Outbox, mail_server: MailServer) -> str:
    with app.app_context():
        invite(HARBOUR, "nord@client.test")
    outbox.flush()
    return mail_server.wait_for("nord@client.test").link


@pytest.fixture
def answers(app: Flask, admin: Browser, nobody: Browser, invitation_link: str) -> dict[str, TestResponse]:
    """One of each page, fragment and refusal there is."""
    with app.app_context():
        import_id = import_file(HARBOUR, "row@client.test")
    client_id = admin.row(HARBOUR, "nord@client.test").id
    paths = [
        "/",
        "/portals",
        "/verify-email",
        "/verified",
        "/password-reset",
        "/healthz",
        "/readyz",
        "/no/such/page",
        invitation_link,
        f"{invitation_link}x",
        ACCOUNTS,
        ic(HARBOUR),
        f"{ic(HARBOUR)}/table",
        f"{ic(HARBOUR)}/new",
        f"{ic(HARBOUR)}/import",
        f"{ic(HARBOUR)}/imports",
        f"{ic(HARBOUR)}/imports/recent",
        f"{ic(HARBOUR)}/imports/{import_id}/take-back",
        f"{ic(HARBOUR)}/imports/{import_id}",
        f"{ic(HARBOUR)}/template.csv",
        f"{ic(HARBOUR)}/{client_id}/remove",
        f"{ic('nowhere')}",
    ]
    got = {path: admin.get(path) for path in paths}
    got |= {f"{path} (htmx)": admin.get(path, htmx=True) for path in paths if path.startswith("/portals/")}
    got |= {f"{path} (nobody)": nobody.get(path) for path in ("/login", "/verify-email", "/portals")}
    got["refused form"] = admin.post(ic(HARBOUR), {"company_name": "", "email": "x"})
    got["form without token"] = admin.post(ic(HARBOUR), csrf=False)
    got["added"] = admin.post(ic(HARBOUR), {"company_name": "Süd", "email": "sued@client.test"})
    got["added (htmx)"] = admin.post(ic(HARBOUR), {"company_name": "Ost", "email": "ost@client.test"}, htmx=True)
    got["wrong method"] = admin.send("PUT", ic(HARBOUR))
    got["too large"] = admin.post(ic(HARBOUR), {"company_name": "x" * 300_000})
    assert {response.status_code for response in got.values()} == {200, 302, 303, 400, 404, 405, 413, 422}
    return got


def policy(response: TestResponse) -> dict[str, list[str]]:
    directives = [one.split() for one in response.headers["Content-Security-Policy"].split(";")]
    return {directive[0]: directive[1:] for directive in directives}


def addresses(response: TestResponse) -> Iterator[str]:
    for tag in parse(response).find_all(True):
        for name in ADDRESSES:
            if tag.get(name) is not None:
                yield str(tag[name])


def test_every_answer_allows_only_our_own_files_is_kept_by_nobody_and_leads_nowhere_else(
    app: Flask, answers: dict[str, TestResponse]
) -> None:
    files = set()
    for name, response in answers.items():
        check_policy(name, response)
        check_keeping(name, response)
        check_features(name, response)
        files |= {one.partition("#")[0] for one in own_addresses(name, response) if "/static/" in one}
    check_static_files(app, files)


def check_policy(name: str, response: TestResponse) -> None:
    rules = policy(response)
    assert rules["default-src"] == ["'none'"], name
    assert rules["frame-ancestors"] == ["'none'"], name
    assert rules["base-uri"] == ["'none'"], name
    assert {source for sources in rules.values() for source in sources} == {"'self'", "'none'"}, name


def check_keeping(name: str, response: TestResponse) -> None:
    """Nobody keeps it, and it is read as what it is."""
    assert response.headers.get("Cache-Control") == "no-store", name
    assert response.headers.get("X-Content-Type-Options") == "nosniff", name
    assert response.headers.get("Referrer-Policy") == "same-origin", name
    # One address answers with a page or a fragment, and differently to each person.
    assert {"Cookie", "HX-Request"} <= set(response.vary), name


def check_features(name: str, response: TestResponse) -> None:
    """It asks for none of a browser, and is for our own pages only."""
    features = response.headers["Permissions-Policy"].split(", ")
    assert {"camera=()", "geolocation=()", "microphone=()", "payment=()"} <= set(features), name
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin", name
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin", name
    # Our public address here is http, and a browser would not believe it anyway.
    assert "Strict-Transport-Security" not in response.headers, name


def own_addresses(name: str, response: TestResponse) -> list[str]:
    """What a page names, none of which is of another site."""
    found = list(addresses(response))
    for address in found:
        assert re.match(r"/(?!/)|#|$", address), f"{name}: {address}"
    assert re.match(r"/(?!/)", response.headers.get("Location", "/")), name
    return found


def check_static_files(app: Flask, files: set[str]) -> None:
    assert {one.partition("?")[0].rpartition(".")[2] for one in files} == {"css", "js", "svg"}
    for file in files:
        response = app.test_client().get(file, buffered=True)
        assert response.status_code == 200
        assert not re.search(r"@import|url\(\s*['\"]?(?!data:|/|#)", response.text), file
        # They may be kept, since their address changes with their content.
        assert "max-age=31536000" in response.headers["Cache-Control"]
        assert response.headers.get("X-Content-Type-Options") == "nosniff"


def test_what_is_the_same_for_everybody_may_be_loaded_by_other_sites(app: Flask, admin: Browser) -> None:
    page = admin.get(ic(HARBOUR))
    static = next(one for one in addresses(page) if "/static/" in one)
    for path in (static, "/embed/loader.js", "/brand/ffcc00.css"):
        response = app.test_client().get(path, buffered=True)
        assert response.status_code == 200
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin", path


def test_where_the_public_address_is_https_browsers_are_told_to_stay_with_it(
    reconfigured: Callable[..., Flask],
) -> None:
    client = reconfigured(PUBLIC_BASE_URL="https://clients.harbour.test").test_client()
    for path in ("/login", "/healthz", "/no/such/page", "/embed/loader.js"):
        with client.get(path, base_url="https://localhost") as response:
            policy = response.headers["Strict-Transport-Security"]
        assert int(policy.removeprefix("max-age=")) >= 180 * 24 * 3600, path


def test_whatever_host_is_asked_for_the_answer_is_the_same(
    app: Flask, admin: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    for browser in (admin, nobody):
        browser.csrf_token()
        cookie = browser.client.get_cookie("session")
        assert cookie
        browser.client.set_cookie("session", cookie.value, domain="evil.test")
    for path in (ACCOUNTS, ic(HARBOUR), f"{ic(HARBOUR)}/new", "/portals", "/no/such/page", "/"):
        response = admin.get(path, headers=EVIL)
        assert response.status_code == admin.get(path).status_code
        assert "evil.test" not in f"{response.text}{response.headers}", path
        # And it cannot be had by asking for it.
        asked = admin.get(f"{path}?_external=1&_scheme=ftp")
        assert "localhost" not in f"{asked.text}{asked.headers}", path
    added = admin.post(ic(HARBOUR), {"company_name": "Nord", "email": "nord@client.test"}, headers=EVIL)
    assert (added.status_code, added.location) == (303, ic(HARBOUR))
    reset = nobody.post("/password-reset", {"email": "sam@harbour.test"}, headers=EVIL)
    assert (reset.status_code, reset.location) == (303, "/password-reset?sent=1")
    sent_to_sign_in = nobody.get("/portals", headers=EVIL | HTMX)
    assert sent_to_sign_in.headers["HX-Redirect"] == "/login"
    outbox.flush()
    for recipient, path in {"nord@client.test": "invitations", "sam@harbour.test": "password-reset"}.items():
        mail = mail_server.wait_for(recipient)
        assert mail.link.startswith(f"http://clients.harbour.test/{path}/")
        assert mail.message["Message-ID"].endswith("@clients.harbour.test>")
        assert "evil.test" not in mail.message.as_string()


def ask_for_reset(browser: Browser, forwarded_for: str) -> int:
    headers = {"X-Forwarded-For": forwarded_for}
    return browser.post("/password-reset", {"email": "x@client.test"}, headers=headers).status_code


def test_forwarded_addresses_count_as_far_as_proxies_are_trusted(
    app: Flask, reconfigured: Callable[..., Flask]
) -> None:
    """Seen by a limit: 300 resets an hour from one address."""
    direct = Browser(reconfigured(TRUSTED_PROXIES="0"))
    assert {ask_for_reset(direct, f"198.51.100.{n}") for n in range(2)} == {303}
    as_if_that_had_been(app, 150)
    assert ask_for_reset(direct, "198.51.100.99") == 429

    AppDriver(app).forget_limits()
    proxied = Browser(reconfigured(TRUSTED_PROXIES="1"))
    # What the client wrote itself stands to the left of what our proxy added.
    assert {ask_for_reset(proxied, f"198.51.100.{n}, 203.0.113.1") for n in range(2)} == {303}
    as_if_that_had_been(app, 150)
    assert ask_for_reset(proxied, "198.51.100.99, 203.0.113.1") == 429
    assert ask_for_reset(proxied, "203.0.113.1, 198.51.100.99") == 303


def test_behind_a_proxy_that_speaks_https_people_sign_in_under_the_public_address(
    reconfigured: Callable[..., Flask],
) -> None:
    """Whether or not the proxy passes the Host on, and whether or not the browser sends a Referer."""
    public = "https://clients.harbour.test"
    proxied = reconfigured(PUBLIC_BASE_URL=public, TRUSTED_PROXIES="1")
    forwarded = {"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https"}
    for more in ({}, {"Referer": f"{public}/login"}, {"Referer": f"{public}/login", "X-Forwarded-Host": "a.test"}):
        client = proxied.test_client()
        page = client.get("/login", headers=forwarded | more, base_url="https://localhost")
        token = parse(page).select_one("form:has([name=password]) input[name=csrf_token]")
        assert token
        typed = {"email": "sam@harbour.test", "password": PASSWORD, "csrf_token": token["value"]}
        signed_in = client.post("/login", data=typed, headers=forwarded | more, base_url="https://localhost")
        assert (signed_in.status_code, signed_in.location) == (303, ACCOUNTS), more


def test_a_full_page_of_clients_weighs_less_than_60_kb(app: Flask, admin: Browser) -> None:
    """All that goes over the wire at a first visit, as a browser asks for it."""
    with app.app_context():
        import_file(HARBOUR, *(f"somebody.with-a-usual-name-{n}@a-usual-company.example" for n in range(30)))
    weights = {}

    def fetch(path: str) -> TestResponse:
        response = admin.get(path, headers={"Accept-Encoding": "gzip"}, buffered=True)
        assert response.status_code == 200
        weights[path] = len(response.data)
        return response

    fetch(ic(HARBOUR))
    page = admin.get(ic(HARBOUR))
    assert len(parse(page).select("tr[data-client-id]")) == 25
    for file in sorted({one.partition("#")[0] for one in addresses(page) if "/static/" in one}):
        # What is smaller gains nothing.
        assert fetch(file).headers.get("Content-Encoding") == "gzip" or weights[file] < 500, file
    assert sum(weights.values()) < 60_000, weights


def test_an_address_in_a_header_that_is_none_does_no_harm(nobody: Browser) -> None:
    for odd in ("http://[", "http://a]b/", "\\", "//"):
        assert nobody.client.get("/healthz", headers={"Referer": odd}).status_code == 200, odd
        assert nobody.client.get(ic(HARBOUR), headers={**HTMX, "HX-Current-URL": odd}).status_code == 401, odd
