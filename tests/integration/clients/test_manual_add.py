"""Manual Add: what a client admin types, and what comes of it."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.extensions import db
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, words
from tests.support.factories import counted_as
from tests.support.smtp import MailServer
from tests.support.together import at_once

NORDWIND = {"company_name": "Nordwind Reisen", "email": "info@nordwind.test"}

WRONG_NAMES = {
    "empty": "",
    "blank": " \t\u00a0\u3000",
    "101 characters": "x" * 101,
    "markup": "<b>Nordwind</b>",
    "a line break": "Nordwind\nReisen",
    "a header": "Nordwind\r\nBcc: victim@elsewhere.test",
    "a paragraph separator": "Nord\u2029wind",
    "a NUL byte": "Nord\0wind",
    "a bidi override": "Nord\u202ewind",
    "a zero-width space": "Nord\u200bwind",
}
WRONG_ADDRESSES = {
    "empty": "",
    "no @": "info.nordwind.test",
    "no domain": "info@",
    "no local part": "@nordwind.test",
    "a bare host": "info@nordwind",
    "a blank inside": "in fo@nordwind.test",
    "two recipients, comma": "info@nordwind.test,victim@elsewhere.test",
    "two recipients, semicolon": "info@nordwind.test;victim@elsewhere.test",
    "two recipients, blank": "info@nordwind.test victim@elsewhere.test",
    "a header, CRLF": "info@nordwind.test\r\nBcc: victim@elsewhere.test",
    "a header, LF": "info@nordwind.test\nBcc: victim@elsewhere.test",
    "a header, U+2028": "info@nordwind.test\u2028Bcc: victim@elsewhere.test",
    "an encoded word": "=?utf-8?q?a=2Cvictim=40elsewhere.test?=@nordwind.test",
    "a display name": "Nordwind <info@nordwind.test>",
    "a quoted local part": '"a,b"@nordwind.test',
    "a NUL byte": "info\0@nordwind.test",
    "a local part beyond ASCII": "grüße@nordwind.test",
    "too long": f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.test",
}
SAME_NAMES = {
    "trimmed and collapsed": ("\u00a0 Nordwind\t\u3000 Reisen ", "Nordwind Reisen"),
    "decomposed": ("Mu\u0308nchen Tours", "München Tours"),
    "punctuation": ("Smith & Sons, Ltd. (50 % off!)", "Smith & Sons, Ltd. (50 % off!)"),
    "100 characters": ("旅" * 100, "旅" * 100),
}


def add(browser: Browser, fields: dict[str, object], **kwargs: bool) -> TestResponse:
    return browser.post(ic(HARBOUR), fields, **kwargs)


def answer_of(response: TestResponse) -> tuple[int, list[tuple[str, str]], bytes]:
    """All that somebody outside sees of an answer, but for the time of day."""
    return response.status_code, sorted(h for h in response.headers if h[0] != "Date"), response.data


def fields_of(response: TestResponse) -> dict[str, str]:
    page = parse(response)
    return {name: str(page.select_one(f"#{name}")["value"]) for name in ("company_name", "email")}


def assert_field_refused(response: TestResponse, name: str, what: str = "") -> None:
    """The field is marked, what is wrong stands beside it, it takes the focus, and the other one is left in peace."""
    assert response.status_code == 422, what
    page = parse(response)
    (field,) = page.select("[aria-invalid=true]")
    assert field["name"] == name
    beside = page.select_one(f"#{name}-error")
    assert beside["id"] in field["aria-describedby"].split()
    assert words(beside)
    # A single error needs no summary: its field takes the focus.
    assert page.select("[data-error-summary]") == []
    assert page.select("[autofocus]") == [field]


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_the_dialog_opens_empty(admin: Browser, htmx: bool) -> None:
    page = admin.get(f"{ic(HARBOUR)}/new", htmx=htmx)
    assert page.status_code == 200
    assert fields_of(page) == {"company_name": "", "email": ""}
    assert "aria-invalid" not in page.text
    assert ("<html" in page.text) is not htmx


@pytest.mark.both_databases
def test_a_saved_client_stands_in_the_table(admin: Browser) -> None:
    saved = add(admin, NORDWIND)
    assert (saved.status_code, saved.location) == (303, ic(HARBOUR))
    (row,) = admin.rows(HARBOUR)
    assert (row.company_name, row.email, row.status) == ("Nordwind Reisen", "info@nordwind.test", "invite_sent")
    assert row.buttons == ["Resend Invite", "Remove"]


def test_under_htmx_a_success_closes_the_dialog_and_refreshes_the_table(admin: Browser) -> None:
    saved = add(admin, NORDWIND, htmx=True)
    assert (saved.status_code, saved.text) == (200, "")
    assert set(json.loads(saved.headers["HX-Trigger"])) == {"dialog-close", "clients-changed"}


def test_wrong_fields_are_refused_beside_the_field_and_nothing_typed_is_lost(
    admin: Browser, app_driver: AppDriver
) -> None:
    before = app_driver.dump()
    for what, name in WRONG_NAMES.items():
        refused = add(admin, {"company_name": name, "email": " Info@Nordwind.test"}, htmx=True)
        assert_field_refused(refused, "company_name", what)
        assert fields_of(refused)["email"].strip().lower() == "info@nordwind.test", what
        if what not in {"a NUL byte", "a line break", "a header"}:  # which HTML itself cannot hold unchanged
            assert fields_of(refused)["company_name"] == name, what
    for what, address in WRONG_ADDRESSES.items():
        refused = add(admin, {"company_name": "Nordwind & Söhne", "email": address}, htmx=True)
        assert_field_refused(refused, "email", what)
        assert fields_of(refused)["company_name"] == "Nordwind & Söhne", what
        if what not in {"a NUL byte", "a header, CRLF", "a header, LF"}:
            assert fields_of(refused)["email"] == address, what
    assert app_driver.dump() == before


def test_both_fields_are_judged_at_once(admin: Browser) -> None:
    refused = add(admin, {"company_name": "", "email": "nowhere"})
    assert refused.status_code == 422
    page = parse(refused)
    assert [field["name"] for field in page.select("[aria-invalid=true]")] == ["company_name", "email"]
    summary = page.select_one("[data-error-summary]")
    assert (summary["role"], summary["tabindex"]) == ("alert", "-1")
    assert [link["href"] for link in summary.select("a")] == ["#company_name", "#email"]
    assert page.select("[autofocus]") == [summary]
    assert page.select_one("title").text.startswith("Error: ")


def test_missing_fields_are_refused_like_empty_ones(admin: Browser, app_driver: AppDriver) -> None:
    refused = add(admin, {})
    assert refused.status_code == 422
    assert len(parse(refused).select("[aria-invalid=true]")) == 2
    assert app_driver.clients() == []


def test_without_javascript_a_refusal_is_a_whole_page_with_the_form(admin: Browser) -> None:
    refused = add(admin, {"company_name": "Nordwind", "email": "nowhere"})
    assert_field_refused(refused, "email")
    assert parse(refused).title.text.startswith("Error: ")
    assert parse(refused).select_one("form[method=post] input[name=csrf_token]")


def test_what_was_typed_is_never_markup(admin: Browser) -> None:
    refused = add(admin, {"company_name": '"><script>alert(1)</script>', "email": "nowhere"}, htmx=True)
    assert refused.status_code == 422
    assert not parse(refused).select("script")


def test_a_company_name_is_kept_as_typed_but_for_blanks_and_composition(admin: Browser) -> None:
    for n, (what, (typed, stored)) in enumerate(SAME_NAMES.items()):
        assert add(admin, {"company_name": typed, "email": f"name{n}@nordwind.test"}).status_code == 303, what
        assert admin.row(HARBOUR, f"name{n}@nordwind.test").company_name == stored


# Silent duplicates


@pytest.mark.both_databases
def test_a_duplicate_is_answered_as_a_success_to_the_byte(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    for htmx in (True, False):
        fields = {"company_name": "Nordwind Reisen", "email": "htmx@nordwind.test" if htmx else "plain@nordwind.test"}
        success = add(admin, fields, htmx=htmx)
        again = add(admin, fields | {"company_name": "Somebody Else"}, htmx=htmx)
        assert answer_of(again) == answer_of(success)
        outbox.flush()
        later = add(admin, fields, htmx=htmx)
        assert answer_of(later) == answer_of(success)
        outbox.flush()
    assert [row.company_name for row in admin.rows(HARBOUR)] == ["Nordwind Reisen"] * 2
    assert len(app_driver.mails()) == len(mail_server.mails) == 2
    assert {app_driver.client(f"{name}@nordwind.test").generation for name in ("htmx", "plain")} == {1}


SAME_ADDRESS = (
    "karl@kelvin-münchen.test",
    "KARL@Kelvin-München.TEST",
    "\u00a0\tkarl@kelvin-münchen.test \u3000",
    "karl@xn--kelvin-mnchen-3ob.test",
    "karl@XN--KELVIN-MNCHEN-3OB.test",
    "karl@kelvin-mu\u0308nchen.test",
    "\u212aarl@kelvin-münchen.test",
    "karl@\u212aelvin-münchen.test",
    "karl@ｋｅｌｖｉｎ-münchen.test",
    "karl@kelvin-münchen。test",
)


def test_the_same_address_in_other_clothes_is_a_duplicate(admin: Browser, app_driver: AppDriver) -> None:
    success, *others = [
        answer_of(add(admin, {"company_name": "Kelvin", "email": address}, htmx=True)) for address in SAME_ADDRESS
    ]
    assert set(map(str, others)) == {str(success)}
    assert success[0] == 200
    assert app_driver.clients() == [(HARBOUR, "karl@kelvin-münchen.test", "invite_sent")]
    assert len(app_driver.mails()) == 1


def test_a_client_who_has_registered_is_a_duplicate_too(admin: Browser, nobody: Browser, app_driver: AppDriver) -> None:
    client_id = app_driver.invite("info@nordwind.test")
    registered = nobody.post(app_driver.link(client_id), {"name": "Nora Wind", "password": "a long enough passphrase"})
    assert registered.status_code == 303
    before = app_driver.clients(), app_driver.kinds(client_id)
    assert add(admin, NORDWIND).status_code == 303
    assert (app_driver.clients(), app_driver.kinds(client_id)) == before


@pytest.mark.both_databases
def test_the_same_address_in_another_portal_is_no_duplicate(
    admin: Browser, stranger: Browser, app_driver: AppDriver
) -> None:
    add(admin, NORDWIND)
    assert stranger.post(ic(ALPINE), NORDWIND).status_code == 303
    assert [portal for portal, _email, _status in app_driver.clients()] == [ALPINE, HARBOUR]
    assert len(app_driver.mails()) == 2


@pytest.mark.both_databases
def test_twenty_adds_of_one_address_at_once_make_one_row_and_one_mail(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    success = answer_of(add(admin, {"company_name": "Earlier", "email": "earlier@nordwind.test"}, htmx=True))
    twins = [admin.twin() for _ in range(20)]
    answers = at_once([partial(add, twin, NORDWIND, htmx=True) for twin in twins])
    assert [answer for answer in map(answer_of, answers) if answer != success] == []
    assert [email for _portal, email, _status in app_driver.clients()] == [
        "earlier@nordwind.test",
        "info@nordwind.test",
    ]
    outbox.flush()
    assert len(mail_server.to("info@nordwind.test")) == 1


# More than the form has


def test_fields_that_the_form_does_not_have_are_ignored(admin: Browser, app_driver: AppDriver) -> None:
    extras = {
        "email": ["info@nordwind.test", "second@nordwind.test"],
        "company_name": ["Nordwind Reisen", "Second"],
        "status": "joined",
        "portal_id": ALPINE,
        "id": "0190f000-0000-7000-8000-000000000000",
        "generation": "7",
        "user_id": "1",
        "joined_at": "2020-01-01",
        "role": "client_admin",
        "link_expires_at": "2999-01-01",
    }
    assert add(admin, extras).status_code == 303
    assert app_driver.clients() == [(HARBOUR, "info@nordwind.test", "invite_sent")]
    client = app_driver.client("info@nordwind.test")
    assert (client.company_name, client.generation, client.user_id) == ("Nordwind Reisen", 1, None)
    assert (client.joined_at, client.link_expires_at) == (None, None)
    assert str(client.id) != extras["id"]


@pytest.mark.both_databases
def test_the_database_itself_refuses_a_third_status(app_driver: AppDriver) -> None:
    app_driver.invite("info@nordwind.test")

    def spoil() -> None:
        db.session.execute(text("UPDATE imported_client SET status = 'expired'"))

    with pytest.raises(Exception, match="ck_imported_client_status"):
        app_driver.do(spoil)


# What leaves


@pytest.mark.parametrize(
    ("typed", "recipient"),
    [("info@nordwind.test", "info@nordwind.test"), ("info@münchen.test", "info@xn--mnchen-3ya.test")],
)
def test_the_envelope_has_one_recipient_and_no_more(
    admin: Browser, outbox: Outbox, mail_server: MailServer, typed: str, recipient: str
) -> None:
    add(admin, {"company_name": "Nordwind, Reisen; & Co.", "email": typed})
    outbox.flush()
    (mail,) = mail_server.mails
    assert mail.recipients == mail.message.get_all("To") == [recipient]
    assert mail.message.get_all("Cc", []) == mail.message.get_all("Bcc", []) == []


# What mail programs turn into links by themselves: addresses of pages, hosts, mailboxes.
AUTO_LINKED = re.compile(r"[a-z]+://|\bwww[.．]|[^\s\u200b]@[^\s\u200b]|[^\W_][.．][a-z]{2,}", re.IGNORECASE)


PHISHING_NAMES = (
    "Refund: https://evil.example/login now",
    "www.evil.example",
    "evil.example/pay",
    "Write to boss@evil.example",
    "HTTP://EVIL.EXAMPLE",
    "evil．example",
)


def test_a_url_in_a_company_name_is_stored_as_typed_and_no_link_in_the_mail(
    admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    for n, name in enumerate(PHISHING_NAMES):
        assert add(admin, {"company_name": name, "email": f"info@phish{n}.test"}).status_code == 303
        assert admin.row(HARBOUR, f"info@phish{n}.test").company_name == name
    outbox.flush()
    for n, name in enumerate(PHISHING_NAMES):
        mail = mail_server.wait_for(f"info@phish{n}.test")
        page = BeautifulSoup(mail.html, "html.parser")
        for style in page.select("style"):
            style.decompose()
        for seen in (str(mail.message["Subject"]), mail.text, words(page)):
            foreign = seen
            for ours in (mail.link, mail.recipient, "ada@harbour.test"):
                foreign = foreign.replace(ours, " ")
            assert not AUTO_LINKED.search(foreign), AUTO_LINKED.search(foreign)
            assert name in foreign.replace("\u200b", "")


# Limits


def test_an_admin_may_add_120_clients_a_minute(app: Flask, admin: Browser, app_driver: AppDriver) -> None:
    with counted_as(app, 119):
        assert add(admin, NORDWIND).status_code == 303
    assert add(admin, {"company_name": "The Last", "email": "last@many.test"}).status_code == 303
    assert len(app_driver.clients()) == 2


# Who


def test_a_wrong_token_does_nothing_and_shows_what_was_typed(admin: Browser, app_driver: AppDriver) -> None:
    for fields in (NORDWIND, NORDWIND | {"csrf_token": "old"}):
        refused = admin.post(ic(HARBOUR), fields, csrf=False)
        assert refused.status_code == 400
        assert "info@nordwind.test" in refused.text
        under_htmx = admin.post(ic(HARBOUR), fields, csrf=False, htmx=True)
        assert under_htmx.status_code == 400
        assert "reload" in under_htmx.text
    assert app_driver.clients() == []


def test_the_token_may_come_in_a_header(admin: Browser, app: Flask, app_driver: AppDriver) -> None:
    token = admin.csrf_token()
    sent = admin.client.post(ic(HARBOUR), data=NORDWIND, headers=HTMX | {"X-CSRFToken": token})
    assert sent.status_code == 200
    assert len(app_driver.clients()) == 1


def test_who_may_not_change_adds_nothing(
    nobody: Browser, staff: Browser, joined_client: Browser, stranger: Browser, app_driver: AppDriver
) -> None:
    assert add(staff, NORDWIND).status_code == add(joined_client, NORDWIND).status_code == 403
    assert add(stranger, NORDWIND).status_code == 404
    assert add(nobody, NORDWIND).status_code == 302
    assert app_driver.clients() == []
