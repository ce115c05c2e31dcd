"""Settings → Email: what the DNS says of the sender's domain. It only advises, and the page does not wait for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bs4 import BeautifulSoup
from flask import Flask

from app.models import PortalMailServer, TlsMode
from app.outbox.server_settings import OwnServer, own_server_of, save_own_server
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, parse, words
from tests.support.dns import DnsServer
from tests.support.factories import as_if_that_had_been

EMAIL = f"/portals/{HARBOUR}/settings/email"
SENDER = f"{EMAIL}/sender"
DOMAIN = "harbour.test"
OWN = {"server": "own", "host": "127.0.0.1", "port": "25", "tls": "none", "sender_address": f"tours@{DOMAIN}"}


@pytest.fixture(scope="module")
def _dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


@pytest.fixture
def dns(_dns: DnsServer) -> DnsServer:
    _dns.zone, _dns.failing, _dns.asked = {"mail.harbour.test": {"A": ["203.0.114.7"]}}, set(), []
    return _dns


@pytest.fixture
def environment(environment: dict[str, str], dns: DnsServer) -> dict[str, str]:
    return environment | {"MAIL_ALLOWED_NETWORKS": "127.0.0.0/8", "DNS_RESOLVERS": dns.setting}


@pytest.fixture
def own_server(app_driver: AppDriver) -> None:
    """Harbour's own server, with the selector of its key."""
    server = OwnServer("mail.harbour.test", 25, TlsMode.NONE, f"Harbour <tours@{DOMAIN}>", dkim_selector="s1")
    app_driver.do(save_own_server, HARBOUR, server)


def statuses(page: BeautifulSoup) -> dict[str, str]:
    found = page.select("[data-sender-record]")
    return {str(one["data-sender-record"]): str(one["data-status"]) for one in found}


@pytest.mark.usefixtures("own_server")
def test_the_page_fetches_the_findings_after_it_is_shown(admin: Browser, dns: DnsServer) -> None:
    section = parse(admin.get(EMAIL)).select_one("#sender-check")
    assert (section["hx-get"], section["hx-trigger"]) == (SENDER, "load")
    assert section.select_one("a")["href"] == SENDER
    assert dns.asked == []


@pytest.mark.usefixtures("own_server")
def test_each_record_is_judged_with_the_one_to_set(admin: Browser, dns: DnsServer) -> None:
    dns.zone[DOMAIN] = {"TXT": ["v=spf1 include:<b>x</b>.test ~all"], "MX": ["10 mail.harbour.test."]}
    dns.zone["<b>x</b>.test"] = {"TXT": ["v=spf1 -all"]}
    dns.zone[f"s1._domainkey.{DOMAIN}"] = {"TXT": ["v=DKIM1; p=MIGf"]}
    answer = admin.get(SENDER, htmx=True)
    assert "<html" not in answer.text
    fragment = parse(answer)
    assert statuses(fragment) == {"SPF": "bad", "DKIM": "good", "DMARC": "bad", "MX": "good"}
    assert not fragment.select("b")
    assert words(fragment.select_one("[data-sender-record=SPF] [data-proposal]")) == (
        "v=spf1 include:<b>x</b>.test a:mail.harbour.test ~all"
    )
    # The same address is a page for a browser without JavaScript.
    page = parse(admin.get(SENDER))
    assert statuses(page) == statuses(fragment)
    assert page.select_one("main a[href]")["href"] == EMAIL


@pytest.mark.usefixtures("own_server")
def test_without_dns_it_says_so(admin: Browser, dns: DnsServer) -> None:
    dns.failing.add("*")
    answer = admin.get(SENDER, htmx=True)
    assert answer.status_code == 200
    assert set(statuses(parse(answer)).values()) == {"unknown"}
    assert "Could not look it up" in answer.text


def test_a_portal_with_the_deployments_server_has_nothing_to_check(admin: Browser, dns: DnsServer) -> None:
    assert parse(admin.get(EMAIL)).select_one("#sender-check") is None
    for htmx in (True, False):
        assert "nothing to set" in words(parse(admin.get(SENDER, htmx=htmx)).select_one("#sender-check"))
    assert dns.asked == []


def test_a_mailbox_provider_gets_a_sentence_instead(admin: Browser, dns: DnsServer) -> None:
    admin.post(EMAIL, OWN | {"sender_address": "harbour.tours@gmail.com"})
    fragment = parse(admin.get(SENDER, htmx=True))
    assert statuses(fragment) == {"Sender": "bad"}
    assert "gmail.com doesn't let other mail servers send" in words(fragment)
    assert dns.asked == []


@pytest.mark.usefixtures("own_server")
def test_checks_are_limited(app: Flask, admin: Browser, dns: DnsServer) -> None:
    assert admin.get(SENDER, htmx=True).status_code == 200
    as_if_that_had_been(app, 20)
    asked = len(dns.asked)
    fragment = admin.get(SENDER, htmx=True)
    assert fragment.status_code == 200
    assert "Too many" in fragment.text
    assert admin.get(SENDER).status_code == 429
    assert len(dns.asked) == asked


def test_the_selector_is_saved_kept_and_may_be_taken_away(admin: Browser, app_driver: AppDriver) -> None:
    def saved() -> str | None:
        own: PortalMailServer = app_driver.do(own_server_of, HARBOUR)
        return own.dkim_selector

    assert admin.post(EMAIL, OWN | {"dkim_selector": " S1.2026-a_b "}).status_code == 303
    assert saved() == "s1.2026-a_b"
    assert parse(admin.get(EMAIL)).select_one("#dkim_selector")["value"] == "s1.2026-a_b"
    for wrong in ("two words", "s1..x", ".s1", "s1;", "é", "x" * 64):
        assert list(field_errors(admin.post(EMAIL, OWN | {"dkim_selector": wrong}))) == ["dkim_selector"]
    assert admin.post(EMAIL, OWN | {"dkim_selector": ""}).status_code == 303
    assert saved() is None
