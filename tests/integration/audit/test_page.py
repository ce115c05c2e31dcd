"""Settings, Audit: who may see it, its filter, its pages and its CSV file."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from bs4 import Tag
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.audit import export, queries
from app.audit import service as audit
from app.audit.caller import Actor
from app.audit.words import FIELDS, change_lines, kind_label
from app.db.transactions import transaction
from app.extensions import db
from app.models import ActorKind, AuditIdentity, AuditKind
from tests.conftest import ALPINE, HARBOUR
from tests.integration.audit.stage import SETTINGS
from tests.integration.audit.trail import lines
from tests.integration.cli.running import run
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import PASSWORD
from tests.support.remains import places_of

AUDIT, CSV = f"{SETTINGS}/audit", f"{SETTINGS}/audit.csv"
ALL = ["clients_removed", "sign_in_failed", "role_changed", "exported"]
ADA, SAM = "ada@harbour.test", "sam@harbour.test"


def shown(response: TestResponse) -> list[str]:
    """The kinds of the lines that a page shows."""
    assert response.status_code == 200
    return [str(row["data-event"]) for row in parse(response).select("tr[data-event]")]


def link(response: TestResponse, rel: str) -> str | None:
    found = parse(response).select_one(f"a[rel={rel}]")
    return str(found["href"]) if isinstance(found, Tag) else None


def record(*kinds: AuditKind, portal_id: str = HARBOUR, **more: Any) -> None:
    for kind in kinds:
        with transaction():
            audit.record(portal_id, kind, **more)


@pytest.fixture
def busy(app: Flask, app_driver: AppDriver) -> None:
    """Ada has exported, the operator has made Sam admin, somebody has tried his password, and a job has removed."""
    ada, sam = (app_driver.user(email).id for email in (ADA, SAM))
    app_driver.do(record, AuditKind.EXPORTED, actor=Actor(ActorKind.PERSON, ada), target=audit.thing("=a file"))
    assert run(app, "user", "grant", "--portal", HARBOUR, "--email", SAM, "--role", "client_admin").exit_code == 0
    app_driver.do(record, AuditKind.SIGN_IN_FAILED, target=audit.person(sam))
    app_driver.do(record, AuditKind.CLIENTS_REMOVED, actor=Actor(ActorKind.JOB), change={"clients": 1200})


def test_client_admins_of_the_portal_see_it_and_nobody_else(
    admin: Browser, staff: Browser, joined_client: Browser, stranger: Browser, nobody: Browser, busy: None
) -> None:
    assert shown(admin.get(AUDIT)) == ALL
    for path in (AUDIT, CSV):
        assert joined_client.get(path).status_code == 403
        assert stranger.get(path).status_code == 404
        assert stranger.get(path).data == stranger.get(path.replace(HARBOUR, "nowhere")).data
        assert nobody.get(path).status_code == 302
    assert shown(stranger.get(AUDIT.replace(HARBOUR, ALPINE))) == []


def test_staff_are_refused(staff: Browser) -> None:
    for path in (AUDIT, CSV):
        assert staff.get(path).status_code == 403
    assert "settings/audit" not in staff.get(f"{SETTINGS}/accounts").text


def test_the_menu_leads_there(admin: Browser) -> None:
    assert parse(admin.get(AUDIT)).select_one(f'nav a[href="{AUDIT}"][aria-current=page]')


def test_a_line_tells_who_did_what_to_whom(admin: Browser, busy: None) -> None:
    page = parse(admin.get(AUDIT))
    texts = {str(row["data-event"]): words(row) for row in page.select("tr[data-event]")}
    assert "Operator Role changed Sam Lund sam@harbour.test Role: Staff → Client admin" in texts["role_changed"]
    assert "Ada Berg ada@harbour.test Exported =a file" in texts["exported"]
    assert "Scheduled job Clients removed Clients: 1,200" in texts["clients_removed"]
    assert "Not signed in Sign-in failed Sam Lund" in texts["sign_in_failed"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind=people", ["role_changed"]),
        ("kind=sign_ins", ["sign_in_failed"]),
        ("kind=exports", ["exported"]),
        ("kind=settings", []),
        ("who=command", ["role_changed"]),
        ("who=job", ["clients_removed"]),
        ("who={sam}", ["sign_in_failed", "role_changed"]),
        ("who={ada}&kind=exports", ["exported"]),
        ("who={ada}&kind=people", []),
        ("from={today}", ALL),
        ("to={today}&who={ada}", ["exported"]),
        ("from={tomorrow}", []),
        ("to={yesterday}", []),
        # What is no filter filters nothing.
        (
            "who=nobody+knows&kind=x&from=soon&to=99999-1-1",
            ALL,
        ),
        (
            "to=9999-12-31&from=0001-01-01&who=99999999999999999999",
            ALL,
        ),
        ("who=2147483647", []),
    ],
)
def test_the_filter(admin: Browser, app_driver: AppDriver, busy: None, query: str, expected: list[str]) -> None:
    today = datetime.now(UTC).date()
    query = query.format(
        ada=app_driver.user(ADA).id,
        sam=app_driver.user(SAM).id,
        today=today,
        tomorrow=today + timedelta(days=1),
        yesterday=today - timedelta(days=1),
    )
    assert shown(admin.get(f"{AUDIT}?{query}")) == expected
    part = admin.get(f"{AUDIT}?{query}", htmx=True)
    assert shown(part) == expected
    assert "<html" not in part.text
    (exported,) = parse(admin.get(f"{AUDIT}?{query}")).select("#audit-export")
    found = list(csv.DictReader(io.StringIO(admin.get(str(exported["href"])).data.decode("utf-8-sig"))))
    # Its own line stands in it, if the filter matches that.
    assert [row["event"] for row in found if row["target_name"] != "audit"] == expected


def test_the_address_keeps_the_filter(admin: Browser, busy: None) -> None:
    part = admin.get(f"{AUDIT}?kind=people&who=command&from=&to=&x=1", htmx=True)
    assert part.headers["HX-Push-Url"] == f"{AUDIT}?who=command&kind=people"
    page = parse(admin.get(part.headers["HX-Push-Url"]))
    assert [str(one["value"]) for one in page.select("option[selected]")] == ["command", "people"]


def test_pages_lead_back_and_forth(admin: Browser, app_driver: AppDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries.audit_page, "__defaults__", (2,))
    app_driver.do(record, AuditKind.MAIL_TESTED, AuditKind.CLIENT_ADDED, AuditKind.EXPORTED, AuditKind.IMPORT_MADE)
    app_driver.do(record, AuditKind.SIGNED_IN)
    first = admin.get(f"{AUDIT}?who=nobody")
    assert shown(first) == ["signed_in", "import_made"]
    assert link(first, "prev") is None
    second = admin.get(str(link(first, "next")))
    assert "who=nobody" in urlsplit(str(link(first, "next"))).query
    assert shown(second) == ["exported", "client_added"]
    third = admin.get(str(link(second, "next")))
    assert (shown(third), link(third, "next")) == (["mail_tested"], None)
    back = admin.get(str(link(third, "prev")))
    assert shown(back) == ["exported", "client_added"]
    newest = admin.get(str(link(back, "prev")))
    assert (shown(newest), link(newest, "prev")) == (["signed_in", "import_made"], None)
    beyond = admin.get(f"{AUDIT}?who=nobody&before=1")
    assert (shown(beyond), link(beyond, "prev")) == ([], f"{AUDIT}?who=nobody")
    for wrong in ("before=0", "after=-1", "before=x", "before=99999999999999999999", "before=1&before=2"):
        assert admin.get(f"{AUDIT}?{wrong}").status_code == 200, wrong


def test_the_file(admin: Browser, app_driver: AppDriver, busy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_BATCH", 2)
    response = admin.get(CSV)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="audit-')
    found = list(csv.DictReader(io.StringIO(response.data.decode("utf-8-sig"))))
    assert [row["event"] for row in found] == [
        *("exported", "clients_removed", "sign_in_failed", "role_changed", "exported")
    ]
    assert found[-1]["target_name"] == "'=a file", "no spreadsheet takes it for a formula"
    assert found[3] | {"at": ""} == {
        "at": "",
        "event": "role_changed",
        "actor": "command",
        "actor_id": "",
        "actor_name": "",
        "actor_email": "",
        "target_id": str(app_driver.user(SAM).id),
        "target_name": "Sam Lund",
        "target_email": SAM,
        "network": "",
        "change": '{"role": ["staff", "client_admin"]}',
    }
    assert lines(app_driver)[-1].target == "audit"


SECRETS = ("correct horse battery", "whsec_known", "a-path-that-is-a-secret", "Wanda Wehe", "wanda@zephyr.test")


def test_no_secret_and_no_text_stands_in_a_line(
    app: Flask, admin: Browser, app_driver: AppDriver, reconfigured: Any
) -> None:
    """Known texts are posted to every form of the settings, and lines are searched for them."""
    password, secret, path, name, email = SECRETS
    server = {"server": "own", "host": "192.0.2.1", "port": "587", "tls": "starttls", "username": email}
    mail = {"password": password, "sender_name": name, "sender_address": email, "reply_to": email}
    other = reconfigured(MAIL_ALLOWED_NETWORKS="192.0.2.0/24", WEBHOOK_ALLOWED_NETWORKS="192.0.2.0/24")
    browser = Browser(other)
    browser.sign_in(ADA, PASSWORD)
    browser.sign_in(ADA, secret)
    posts = (
        ("email", server | mail | {"dkim_selector": "s1", "per_second": "5"}),
        ("email", server | mail | {"password": f"{password} 2"}),
        ("email/test", {}),
        ("webhooks", {"url": f"https://192.0.2.1/{path}", "description": name, "events": ["client.joined"]}),
        ("embedding", {"origins": "https://shell.test"}),
        ("branding", {"display_name": name, "subject": name, "greeting": name, "language": "en"}),
        (
            "branding/publish",
            {"display_name": name, "subject": name, "greeting": name, "support_address": email, "language": "de"},
        ),
        ("invitations", {"join_notice": "daily", "preview_above": "7"}),
        ("accounts/imported-clients", {"company_name": name, "email": email, "message": secret}),
    )
    for where, data in posts:
        response = browser.post(f"{SETTINGS}/{where}", data)
        assert response.status_code < 400, (where, response.text)
    assert {line.kind for line in lines(app_driver)} >= {
        AuditKind.MAIL_SERVER_CHANGED,
        AuditKind.WEBHOOK_ADDED,
        AuditKind.EMBEDDING_CHANGED,
        AuditKind.BRANDING_PUBLISHED,
        AuditKind.SETTINGS_CHANGED,
        AuditKind.CLIENT_ADDED,
    }
    assert not {place for place in places_of(app, *SECRETS) if place.startswith("audit_event")}
    # Who was added stands beside the lines, and no secret does.
    assert not {place for place in places_of(app, password, secret, path) if place.startswith("audit")}
    assert [line.change for line in lines(app_driver) if line.kind is AuditKind.MAIL_SERVER_CHANGED][1] == {
        "encrypted_password": "changed"
    }


def test_an_unknown_field_is_refused(app_driver: AppDriver) -> None:
    with pytest.raises(ValueError, match="shoe_size"):
        app_driver.do(record, AuditKind.SETTINGS_CHANGED, change={"shoe_size": 44})


def test_every_kind_and_value_has_words() -> None:
    assert all(kind_label(kind) for kind in AuditKind)
    assert all(one.strip(": yes") for one in change_lines(dict.fromkeys(FIELDS, True)))


def test_a_portal_that_comes_after_another_of_the_same_id_does_not_see_its_trail(
    app: Flask, app_driver: AppDriver, busy: None
) -> None:
    assert run(app, "portal", "delete", "--portal", HARBOUR, "--yes").exit_code == 0
    assert run(app, "portal", "create", "--name", "Anew", "--id", HARBOUR).exit_code == 0
    assert (
        run(
            app, "user", "grant", "--portal", HARBOUR, "--email", "olaf@alpine.test", "--role", "client_admin"
        ).exit_code
        == 0
    )
    olaf = Browser(app)
    olaf.sign_in("olaf@alpine.test", PASSWORD)
    assert shown(olaf.get(AUDIT)) == ["signed_in", "role_given", "portal_created"]
    assert len(lines(app_driver)) > 3


def test_erasing_somebody_leaves_the_lines_under_their_id(
    app: Flask, admin: Browser, app_driver: AppDriver, busy: None
) -> None:
    """Sam's name, his address, and a thing that is called like him."""
    app_driver.do(record, AuditKind.EMBEDDING_CHANGED, target=audit.thing("https://sam@harbour.test"))
    app_driver.do(record, AuditKind.COLLEAGUE_INVITED, target=audit.address(SAM, "Sam L."))
    before = [line.kind for line in lines(app_driver)]
    sam = app_driver.user(SAM).id
    assert run(app, "user", "erase", "--email", SAM, "--yes").exit_code == 0
    assert [line.kind for line in lines(app_driver)] == [*before, AuditKind.USER_ERASED]
    assert not places_of(app, SAM, "Sam Lund", "Sam L.")
    page = admin.get(f"{AUDIT}?who={sam}")
    assert shown(page) == ["user_erased", "sign_in_failed", "role_changed"]
    assert f"Deleted user (no. {sam})" in page.text


def test_who_was_only_named_can_be_erased(app: Flask, app_driver: AppDriver) -> None:
    """An address that was invited as a colleague, and nothing else knows."""
    wanda = "wanda@zephyr.test"
    app_driver.do(record, AuditKind.COLLEAGUE_INVITED, target=audit.address(wanda))
    done = run(app, "client", "erase", "--portal", HARBOUR, "--email", wanda, "--yes")
    assert done.exit_code == 0, done.output
    assert not places_of(app, wanda)


def test_a_removed_client_is_named_by_its_id_only(app: Flask, admin: Browser, app_driver: AppDriver) -> None:
    client_id = app_driver.invite("info@nordwind.test", "Nordwind Reisen")
    assert shown(admin.get(AUDIT)) == ["client_added"]
    assert "Nordwind Reisen" in admin.get(AUDIT).text
    assert admin.post(f"{ic(HARBOUR)}/{client_id}/remove").status_code == 303
    assert "Nordwind Reisen removed" in admin.get(AUDIT).text, "which is said once"
    page = admin.get(AUDIT)
    assert shown(page) == ["client_removed", "client_added"]
    assert "Nordwind" not in page.text
    assert page.text.count("Removed client") == 2
    ids = app_driver.do(lambda: db.session.scalars(select(AuditIdentity.client_id)).all())
    assert set(ids) - {None} == {client_id}
