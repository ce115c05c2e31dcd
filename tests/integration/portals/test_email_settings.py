"""Settings → E-mail: a portal's own mail server, and a test mail that tells how far it came."""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable

import pytest
import trustme
from bs4 import BeautifulSoup
from flask import Flask
from werkzeug.test import TestResponse

from app.models import MailState
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, ic, parse, words
from tests.support.pictures import a_picture
from tests.support.scripted_smtp import Reply, ScriptedSmtp
from tests.support.smtp import MailServer

EMAIL = f"/portals/{HARBOUR}/settings/email"
INVITEE = "info@nordwind.test"
SECRET = "a secret of the relay"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    # Where the test's own servers are.
    return environment | {"MAIL_ALLOWED_NETWORKS": "127.0.0.0/8"}


def typed(port: int, **changes: object) -> dict[str, object]:
    return {
        "server": "own",
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "sender_name": "Harbour Tours",
        "sender_address": "tours@harbour.test",
        **changes,
    }


def errors(response: TestResponse) -> dict[str, str]:
    """What the page says beside each field."""
    assert response.status_code == 422
    return field_errors(response)


def steps(response: TestResponse) -> list[tuple[str, bool]]:
    """How far a test mail came."""
    assert response.status_code == 200
    steps = parse(response).select("#connection-test li")
    return [(str(step["data-step"]), step["data-ok"] == "true") for step in steps]


def test_a_portal_gets_a_server_of_its_own_and_mails_go_through_it(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    form = parse(admin.get(EMAIL))
    assert form.select_one("input[name=server][value=deployment]").has_attr("checked")
    saved = admin.post(EMAIL, typed(mail_server.port, reply_to="desk@harbour.test"))
    assert (saved.status_code, saved.location) == (303, EMAIL)
    page = parse(admin.get(EMAIL))
    assert page.select_one("#sender_address")["value"] == "tours@harbour.test"
    assert "Saved" in words(page)

    app_driver.invite(INVITEE)
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    assert mail.message["From"] == "Harbour Tours <tours@harbour.test>"
    assert mail.message["Reply-To"] == "desk@harbour.test"
    assert mail.sender == "tours@harbour.test"

    assert admin.post(EMAIL, {"server": "deployment"}).status_code == 303
    app_driver.invite("second@nordwind.test")
    outbox.flush()
    second = mail_server.wait_for("second@nordwind.test")
    assert second.sender == "no-reply@harbour.test"
    # What the form did not send stays.
    assert second.message["Reply-To"] == "desk@harbour.test"


def test_replies_go_where_the_portal_says_with_the_deployments_server_too(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    field = parse(admin.get(EMAIL)).select_one("#reply_to")
    assert field.find_parent(class_="own-server") is None
    refused = admin.post(EMAIL, {"server": "deployment", "reply_to": "nobody", "host": "not looked at"})
    assert list(errors(refused)) == ["reply_to"]
    assert admin.post(EMAIL, {"server": "deployment", "reply_to": " Desk@Harbour.test "}).status_code == 303
    assert parse(admin.get(EMAIL)).select_one("#reply_to")["value"] == "desk@harbour.test"
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    assert mail_server.wait_for(INVITEE).message["Reply-To"] == "desk@harbour.test"
    assert admin.post(EMAIL, {"server": "deployment", "reply_to": ""}).status_code == 303
    app_driver.resend(client_id)
    outbox.flush()
    assert mail_server.wait_for(INVITEE, count=2).message["Reply-To"] == "ada@harbour.test"


def test_nothing_is_saved_if_a_part_of_it_is_refused(
    admin: Browser, app_driver: AppDriver, mail_server: MailServer
) -> None:
    before = app_driver.dump()
    needs_password = typed(mail_server.port, tls="starttls", username="harbour", reply_to="desk@harbour.test")
    assert list(errors(admin.post(EMAIL, needs_password))) == ["password"]
    assert app_driver.dump() == before


def test_saving_releases_what_waits(
    admin: Browser, app_driver: AppDriver, mail_server: MailServer, reconfigured: Callable[..., Flask]
) -> None:
    bare = reconfigured(MAIL_SERVER=None, MAIL_PORT=None)
    at_bare = admin.twin(bare)
    app_driver.invite(INVITEE)
    Outbox(bare).flush()
    notice = parse(at_bare.get(ic(HARBOUR))).select_one(".notice.warning")
    assert "aren't being sent" in words(notice)
    assert notice.select_one("a")["href"] == EMAIL
    assert "aren't being sent" in words(parse(at_bare.get(EMAIL)))
    assert at_bare.post(EMAIL, typed(mail_server.port)).status_code == 303
    Outbox(bare).flush()
    assert mail_server.wait_for(INVITEE)
    assert app_driver.mail(INVITEE).state is MailState.SENT


WRONGLY_TYPED: list[tuple[dict[str, object], str]] = [
    ({"host": ""}, "host"),
    ({"host": "https://smtp.example.com"}, "host"),
    ({"host": "smtp.example.com\r\nEHLO x"}, "host"),
    ({"port": "0"}, "port"),
    ({"port": "65536"}, "port"),
    ({"port": "smtp"}, "port"),
    ({"port": ""}, "port"),
    ({"tls": "perhaps"}, "tls"),
    ({"username": "harbour", "password": SECRET}, "username"),
    ({"sender_address": "nobody"}, "sender_address"),
    ({"sender_address": "a@b.test, c@d.test"}, "sender_address"),
    ({"sender_name": "<b>Harbour</b>"}, "sender_name"),
    ({"reply_to": "nobody"}, "reply_to"),
    ({"per_second": "0"}, "per_second"),
    ({"per_second": "many"}, "per_second"),
]


def test_bad_input_is_told_beside_its_field_and_nothing_is_saved(
    admin: Browser, app_driver: AppDriver, mail_server: MailServer
) -> None:
    before = app_driver.dump()
    for wrong, field in WRONGLY_TYPED:
        refused = admin.post(EMAIL, typed(mail_server.port) | wrong)
        assert list(errors(refused)) == [field], wrong
        page = parse(refused)
        assert [focused["id"] for focused in page.select("main [autofocus]")] == [field], wrong
        assert page.title.text.startswith("Error: "), wrong
        if field != "sender_address":
            assert page.select_one("#sender_address")["value"] == "tours@harbour.test", wrong
        assert app_driver.dump() == before, wrong


NOT_ALLOWED = (
    "127.0.0.1",
    "localhost",
    "::1",
    "10.0.0.7",
    "192.168.1.1",
    "169.254.169.254",
    "168.63.129.16",
    "0.0.0.0",
    "nowhere.invalid",
)


def test_a_server_inside_our_own_network_is_refused_with_the_same_words_as_one_that_is_not_there(
    admin: Browser, reconfigured: Callable[..., Flask]
) -> None:
    strict = admin.twin(reconfigured(MAIL_ALLOWED_NETWORKS=None))
    for host in NOT_ALLOWED:
        assert errors(strict.post(EMAIL, typed(25, host=host))) == {
            "host": "This server wasn't found, or its address isn't allowed here. Check its name, or ask whoever runs"
            " this service to allow its network."
        }, host


def test_the_password_is_never_shown_kept_when_left_empty_and_asked_for_when_the_server_changes(
    admin: Browser, app_driver: AppDriver, mail_server: MailServer
) -> None:
    account = {"tls": "starttls", "username": "harbour"}
    assert "password" in errors(admin.post(EMAIL, typed(mail_server.port, **account)))
    assert admin.post(EMAIL, typed(mail_server.port, **account, password=SECRET)).status_code == 303
    assert SECRET not in admin.get(EMAIL).text
    assert SECRET not in app_driver.dump(with_audit=True)
    assert admin.post(EMAIL, typed(mail_server.port, **account, sender_name="Tours")).status_code == 303
    for changed in ({"host": "127.0.0.2"}, {"port": mail_server.port + 1}, {"tls": "ssl"}, {"username": "other"}):
        refused = admin.post(EMAIL, typed(mail_server.port, **account) | changed)
        assert "password" in errors(refused), changed
    assert SECRET not in refused.text


def test_only_client_admins_of_the_portal_see_and_change_it(
    staff: Browser, stranger: Browser, joined_client: Browser, nobody: Browser, mail_server: MailServer
) -> None:
    for browser, status in [(staff, 403), (joined_client, 403), (stranger, 404)]:
        assert browser.get(EMAIL).status_code == status
        assert browser.post(EMAIL, typed(mail_server.port)).status_code == status
        assert browser.post(f"{EMAIL}/test").status_code == status
    assert nobody.get(EMAIL).status_code == 302
    assert EMAIL not in staff.get(ic(HARBOUR)).text


# The test mail


def test_a_test_mail_goes_to_whoever_asks_and_tells_each_step(admin: Browser, mail_server: MailServer) -> None:
    answer = admin.post(f"{EMAIL}/test")
    assert steps(answer) == [("resolve", True), ("connect", True), ("hand_over", True)]
    mail = mail_server.wait_for("ada@harbour.test")
    assert mail.message["Auto-Submitted"] == "auto-generated"


def test_a_test_mail_is_the_portals_invitation_marked_as_a_test(
    admin: Browser,
    nobody: Browser,
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
) -> None:
    design = {"display_name": "Hafen & Meer", "language": "en", "accent": "#7a1f5c", "subject": "{company} aboard"}
    admin.post(f"/portals/{HARBOUR}/settings/branding/publish", design)
    admin.post(f"/portals/{HARBOUR}/settings/branding/logo", {"logo": (io.BytesIO(a_picture("PNG")), "logo.png")})
    admin.post(f"/portals/{HARBOUR}/settings/branding/publish", design)
    admin.post(EMAIL, {"server": "deployment", "reply_to": "desk@harbour.test"})
    before = app_driver.dump()
    assert admin.post(f"{EMAIL}/test").status_code == 200
    assert app_driver.dump() == before
    test = mail_server.wait_for("ada@harbour.test")
    app_driver.invite(INVITEE, "Nordwind Travel")
    outbox.flush()
    real = mail_server.wait_for(INVITEE)

    assert test.message["Subject"] == f"Test: {real.message['Subject']}" == "Test: Nordwind Travel aboard"
    assert test.text.startswith("This is a test: invitations from")
    assert words(BeautifulSoup(test.html, "html.parser").select_one(".test")).startswith(
        "This is a test: invitations from Hafen & Meer"
    )
    assert test.message["From"] == real.message["From"]
    assert test.message["Reply-To"] == "desk@harbour.test"
    assert "#7a1f5c" in test.html
    # All that it has more is the mark; its links and addresses are others.
    assert 0 < len(test.raw) - len(real.raw) < 2000
    assert [part.get_content_type() for part in test.message.walk()] == [
        part.get_content_type() for part in real.message.walk()
    ]
    assert test.link == "http://clients.harbour.test/invitations/test"
    page = nobody.get(test.link)
    assert page.status_code == 200
    assert words(parse(page).h1) == "This was only a test"
    assert nobody.post(test.link, {"name": "Nora", "password": "a long enough passphrase"}).status_code == 404
    for garbled in ("/invitations/tests", "/invitations/test.1", "/invitations/test/decline"):
        assert nobody.get(garbled).status_code == 404


def test_a_test_mail_is_in_the_portals_language(admin: Browser, mail_server: MailServer) -> None:
    admin.post(f"/portals/{HARBOUR}/settings/branding/publish", {"language": "de", "accent": "#7a1f5c"})
    assert admin.post(f"{EMAIL}/test").status_code == 200
    assert "Einladung annehmen" in mail_server.wait_for("ada@harbour.test").html


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_test_mail_stops_where_it_fails_and_says_why(admin: Browser) -> None:
    with ScriptedSmtp({"auth": Reply("535 5.7.8 wrong password")}, offer_auth=True) as server:
        account = {"username": "harbour", "password": SECRET, "tls": "starttls"}
        assert admin.post(EMAIL, typed(server.port, **account)).status_code == 303
        answer = admin.post(f"{EMAIL}/test")
        assert steps(answer) == [("resolve", True), ("connect", True), ("encrypt", False)]
        assert "AUTH" not in server.verbs
        assert server.mails == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_self_signed_server_gets_neither_password_nor_mail(
    admin: Browser, app_driver: AppDriver, outbox: Outbox
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with ScriptedSmtp(tls=context, offer_auth=True) as server:
        account = {"username": "harbour", "password": SECRET, "tls": "starttls"}
        assert admin.post(EMAIL, typed(server.port, **account)).status_code == 303
        answer = admin.post(f"{EMAIL}/test")
        assert steps(answer)[-1] == ("encrypt", False)
        assert "certificate is not trusted" in words(parse(answer).select_one("#connection-test"))
        app_driver.invite(INVITEE)
        outbox.flush()
        assert "certificate is not trusted" in words(parse(admin.get(ic(HARBOUR))).select_one("#mail-pause"))
        assert "AUTH" not in server.verbs
        assert server.mails == []


def test_test_mails_are_limited(admin: Browser, stranger: Browser, mail_server: MailServer) -> None:
    for _ in range(10):
        assert admin.post(f"{EMAIL}/test").status_code == 200
    refused = admin.post(f"{EMAIL}/test")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert stranger.post(f"/portals/{ALPINE}/settings/email/test").status_code == 200
    assert len(mail_server.to("ada@harbour.test")) == 10


def test_a_test_mail_that_is_taken_ends_a_pause(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    with ScriptedSmtp({"ehlo": Reply("554 go away")}) as server:
        admin.post(EMAIL, typed(server.port))
        app_driver.invite(INVITEE)
        outbox.flush()
        assert "go away" in words(parse(admin.get(EMAIL)).select_one("#mail-pause"))
        server.script.clear()
        assert steps(admin.post(f"{EMAIL}/test"))[-1] == ("hand_over", True)
        outbox.flush()
    assert app_driver.mail(INVITEE).state is MailState.SENT
