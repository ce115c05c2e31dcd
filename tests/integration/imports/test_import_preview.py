"""A portal may want a preview of larger imports. Nothing is stored or sent before somebody has seen it."""

from __future__ import annotations

import hashlib
import re

import pytest
from bs4 import Tag
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from app.embed.service import save_origins
from app.extensions import db
from app.models import RateLimitHit
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.imports.uploading import IMPORT, a_file, addresses, clients, codes_in, refusal_in, upload
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, parse, words
from tests.support.smtp import MailServer

SETTINGS = f"/portals/{HARBOUR}/settings/invitations"
MAIL = f"{IMPORT}/mail"
FILE = a_file("Nordwind <3,ann@gmial.com".replace(" <3", ""), *clients(6))


def preview_in(response: TestResponse) -> Tag:
    assert response.status_code == 200
    (preview,) = parse(response).select("[data-import-preview]")
    return preview


def confirmation(preview: Tag) -> dict[str, str]:
    """What the page posts besides the file, when somebody presses Import."""
    return {str(field["name"]): str(field["value"]) for field in preview.select("input[type=hidden]")}


@pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
def test_it_shows_what_will_be_sent_and_then_sends_it(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, htmx: bool
) -> None:
    app_driver.change_portal(preview_above=6)
    before = app_driver.dump()
    answer = upload(admin, FILE, htmx=htmx)
    preview = preview_in(answer)
    assert "7 clients will get an invitation. Nothing has been sent yet." in words(preview)
    rows = [[words(cell) for cell in row.select("td")] for row in preview.select("tbody tr")]
    assert rows == [
        ["Nordwind", "ann@gmial.com"],
        *[[f"Client {n}", f"client{n}@many.test"] for n in range(4)],
    ]
    assert [slip["data-slip"] for slip in preview.select("[data-slip]")] == ["domain"]
    assert "Harbour Tours invites Nordwind to its booking portal" in words(preview)
    frame = admin.get(str(preview.select_one("iframe[sandbox]")["src"]))
    assert "Nordwind" in words(parse(frame))
    assert app_driver.dump() == before
    # The script keeps the file chosen. Without it, the page says that it must be chosen again.
    assert ("Choose the same file once more" in words(preview)) is not htmx
    assert parse(answer).select("input[type=file]") == [] if htmx else parse(answer).select("input[type=file]")

    done = upload(admin, FILE, confirmation(preview), htmx=htmx)
    assert done.status_code == (200 if htmx else 303)
    assert len(addresses(app_driver)) == 7
    outbox.flush()
    assert len(mail_server.mails) == 7


def test_it_is_off_at_first_and_begins_above_the_number(admin: Browser, app_driver: AppDriver) -> None:
    assert upload(admin, a_file(*clients(3, "off.test"))).status_code == 303
    app_driver.change_portal(preview_above=3)
    assert upload(admin, a_file(*clients(3, "three.test"))).status_code == 303
    preview_in(upload(admin, a_file(*clients(4, "four.test"))))
    app_driver.change_portal(preview_above=0)
    preview_in(upload(admin, a_file(*clients(1, "one.test"))))
    assert len(addresses(app_driver)) == 6


def test_what_was_confirmed_is_this_file_with_this_message(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.change_portal(preview_above=1)
    one, two = a_file(*clients(2, "one.test")), a_file(*clients(2, "two.test"))
    confirmed = confirmation(preview_in(upload(admin, one)))
    assert confirmed == {"confirmed": hashlib.sha256(one).hexdigest()}
    assert confirmation(preview_in(upload(admin, two, confirmed))) != confirmed
    preview = preview_in(upload(admin, one, confirmed | {"message": "Welcome!"}))
    with_message = confirmation(preview)
    assert with_message != confirmed
    assert "Welcome!" in words(parse(admin.get(str(preview.select_one("iframe")["src"]))))
    preview_in(upload(admin, one, {"confirmed": "x"}))
    # Another file was seen, so this one is, however short it is.
    preview_in(upload(admin, a_file(*clients(1)), confirmed))
    assert addresses(app_driver) == []
    # The same message as a browser sends it again.
    assert upload(admin, one, with_message | {"message": " Welcome!\r\n"}).status_code == 303


@pytest.mark.both_databases
def test_it_counts_and_shows_only_what_is_not_left_out(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.change_portal(preview_above=2)
    app_driver.invite("client0@many.test", "As It Was")
    refused = upload(admin, a_file(*clients(4)), htmx=True)
    assert codes_in(refusal_in(refused)) == [(2, "email_duplicate_in_table")]
    preview = preview_in(upload(admin, a_file(*clients(4)), {"skip_existing": "1"}, htmx=True))
    assert "3 clients will get an invitation." in words(preview)
    assert "1 client is in the table already and will be left out." in words(preview)
    assert "client0@many.test" not in words(preview)
    confirmed = confirmation(preview)
    assert confirmed["skip_existing"] == "1"

    # Somebody else adds another one meanwhile.
    app_driver.invite("client3@many.test", "Somebody Else's")
    done = upload(admin, a_file(*clients(4)), confirmed, htmx=True)
    assert "2 clients imported" in words(parse(done))
    assert "2 clients were left out" in words(parse(done))
    # With few enough left, nothing is shown.
    assert upload(admin, a_file(*clients(6)), {"skip_existing": "1"}).status_code == 303


def test_a_bad_file_is_refused_as_without_a_preview(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.change_portal(preview_above=0)
    app_driver.invite("ann@acme.test")
    app_driver.use_up_mails("often@acme.test")
    lines = {"Ann,ann@acme.test": "email_duplicate_in_table", "Of,often@acme.test": "email_too_many_mails"}
    for line, code in (lines | {"Bad": "row_too_few_cells"}).items():
        assert codes_in(refusal_in(upload(admin, a_file(line)))) == [(2, code)]


def test_a_preview_counts_for_no_limit(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.change_portal(preview_above=0)

    def counted() -> int:
        hits = select(func.count()).select_from(RateLimitHit)
        return int(app_driver.do(lambda: db.session.scalar(hits)))

    before = counted()
    confirmed = confirmation(preview_in(upload(admin, FILE)))
    assert counted() == before
    upload(admin, FILE, confirmed)
    assert counted() == before + 1 + 7


def test_the_mail_is_shown_by_our_own_pages_and_those_of_the_shells_only(
    admin: Browser, staff: Browser, stranger: Browser, app_driver: AppDriver
) -> None:
    for portal in (HARBOUR, ALPINE):
        app_driver.change_portal(portal, preview_above=0)
    app_driver.do(save_origins, HARBOUR, ["https://shell.test"])
    address = str(preview_in(upload(admin, FILE, {"message": "Between us"})).select_one("iframe")["src"])
    assert not re.search("nordwind|gmial|between", address, re.IGNORECASE), "addresses stand in logs"
    policy = admin.get(address).headers["Content-Security-Policy"]
    assert "frame-ancestors 'self' https://shell.test; sandbox" in policy
    assert "default-src 'none'" in policy
    assert (staff.get(address).status_code, stranger.get(address).status_code) == (403, 404)
    elsewhere = stranger.get(address.replace(f"/{HARBOUR}/", f"/{ALPINE}/"))
    assert elsewhere.status_code == 409
    for wrong in ("", "?mail=", "?mail=%00", "?mail=x", f"?mail={'y' * 3000}", "?mail=ä"):
        assert admin.get(MAIL + wrong).status_code == 409


@pytest.mark.both_databases
def test_the_portal_sets_from_how_many_rows_on(admin: Browser, app_driver: AppDriver) -> None:
    def saved(value: str) -> int | None:
        assert admin.post(SETTINGS, {"join_notice": "off", "preview_above": value}).status_code == 303
        (field,) = parse(admin.get(SETTINGS)).select("#preview_above")
        assert field["value"] == value.strip()
        return int(field["value"]) if field["value"] else None

    assert [saved(value) for value in ("0", "1000", " 20 ", "")] == [0, 1000, 20, None]
    for wrong in ("-1", "1001", "2.5", "many", "9" * 30):
        refused = admin.post(SETTINGS, {"join_notice": "off", "preview_above": wrong})
        assert refused.status_code == 422
        assert field_errors(refused) == {"preview_above": "Enter a whole number from 0 to 1000."}
    # Off: who posts no number at all, as an older page does.
    assert admin.post(SETTINGS, {"join_notice": "off"}).status_code == 303
    assert upload(admin, FILE).status_code == 303
