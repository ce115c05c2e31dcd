"""The side panel: what happened to a client, by whom, and the mails it was sent, without a link that works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import time_machine
from flask import Flask
from sqlalchemy import event, update
from werkzeug.test import TestResponse

from app.accounts.users import find_user
from app.clients.detail import EVENT_WORDS, MAIL_WORDS
from app.clients.service import add_client, remove_client
from app.core.clock import now
from app.core.links import LinkKind, cut_links
from app.db.transactions import transaction
from app.extensions import db
from app.invitations.service import invitation_url
from app.jobs.schedule import run_job
from app.models import ClientEvent, EventKind, MailState, OutboxMail
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import HTMX, Browser, ic, parse, words
from tests.support.factories import find_client, invite
from tests.support.smtp import MailServer

INVITEE = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}
A_LINK = re.compile(rf"/(?:{'|'.join(LinkKind)})/[A-Za-z0-9]")


def invited(app: Flask, email: str = INVITEE, company_name: str = "Nordwind Reisen") -> str:
    with app.app_context():
        return invite(HARBOUR, email, company_name)


def resend(app: Flask, client_id: str) -> None:
    AppDriver(app).resend(UUID(client_id))


def link_of(app: Flask, client_id: str, generation: int = 1) -> str:
    with app.app_context():
        return invitation_url(HARBOUR, UUID(client_id), generation)


def panel(browser: Browser, client_id: str) -> TestResponse:
    response = browser.get(f"{ic(HARBOUR)}/{client_id}/history", htmx=True)
    assert response.status_code == 200
    assert not A_LINK.search(response.text)
    return response


def events(response: TestResponse) -> list[str]:
    return [words(li) for li in parse(response).select(".events > li")]


def mails(response: TestResponse) -> list[str]:
    return [words(li) for li in parse(response).select(".mails > li")]


def mail_addresses(response: TestResponse) -> list[str]:
    return [str(a["href"]) for a in parse(response).select(".show-mail")]


@contextmanager
def counted_statements(app: Flask) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_every_kind_has_its_words() -> None:
    assert set(EVENT_WORDS) == set(EventKind)
    assert set(MAIL_WORDS) == set(MailState)


def test_each_row_opens_its_client_s_history(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    cell = parse(admin.get(ic(HARBOUR))).select_one(f'tr[data-client-id="{client_id}"] [data-col="company_name"]')
    assert cell is not None
    link = cell.find("a")
    assert words(cell) == "Nordwind Reisen"
    assert link is not None
    assert link["href"] == link["hx-get"] == f"{ic(HARBOUR)}/{client_id}/history"


def test_it_tells_each_step_newest_first_with_moment_and_actor(
    app: Flask, admin: Browser, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    outbox.flush()
    with time_machine.travel(now() + timedelta(days=8), tick=True):
        run_job(app, "track-expiry")
    resend(app, client_id)
    outbox.flush()
    nobody.post(mail_server.wait_for(INVITEE, 2).link, NORA)
    outbox.flush()
    nobody.post(mail_server.wait_for(INVITEE, 3).link)

    response = panel(admin, client_id)
    told = events(response)
    expected = [
        ("Joined", "the client"),
        ("Email address verified", "the client"),
        ("Registered", "the client"),
        ("Email accepted by mail server", "System"),
        ("Email queued", "System"),
        ("Invited again; the older link stopped working", "Ada Berg"),
        ("Link expired", "System"),
        ("Email accepted by mail server", "System"),
        ("Email queued", "System"),
        ("Invited", "Ada Berg"),
    ]
    for line, (what, who) in zip(told, expected, strict=True):
        assert line.startswith(what)
        assert line.endswith(f" · {who}")
    assert all(li.find("time", datetime=True) for li in parse(response).select(".events > li"))
    page = parse(response)
    assert words(page.select_one("#panel-title")) == "Nordwind Reisen"
    assert INVITEE in page.get_text()
    assert words(page.select_one(".panel-status")).startswith("Joined")
    assert not page.select("#correct-client")


def test_it_is_a_fragment_for_htmx_and_a_page_for_everybody_else(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    fragment = panel(admin, client_id).text
    page = admin.get(f"{ic(HARBOUR)}/{client_id}/history")
    assert "<html" not in fragment
    assert page.status_code == 200
    assert "<html" in page.text
    assert not A_LINK.search(page.text)
    assert events(page)[-1].startswith("Invited")


def test_it_says_what_the_mail_server_said(app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer) -> None:
    mail_server.refuse[INVITEE] = "550 5.1.1 Nobody of that name here"
    client_id = invited(app)
    outbox.flush()
    response = panel(admin, client_id)
    assert events(response)[0].startswith("Email couldn't be delivered")
    assert "550 5.1.1 Nobody of that name here" in events(response)[0]
    (mail,) = mails(response)
    assert mail.startswith("Couldn't be delivered To info@nordwind.test Created")
    assert "550 5.1.1 Nobody of that name here" in mail


def test_a_link_that_a_mail_server_quotes_is_neither_kept_nor_shown(
    app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    link = link_of(app, client_id)
    mail_server.refuse[INVITEE] = f"550 5.7.1 Blocked address: {link}"
    outbox.flush()
    assert "Blocked address: http://clients.harbour.test/invitations/‹cut›" in panel(admin, client_id).text
    assert link.rpartition("/")[2] not in admin.get(f"{ic(HARBOUR)}/table", htmx=True).text


@pytest.mark.parametrize("kind", list(LinkKind))
def test_links_are_cut_out_of_any_text(kind: LinkKind) -> None:
    assert cut_links(f"see https://a.test/x/{kind}/ab-c.1.d_e, twice /{kind}/q") == (
        f"see https://a.test/x/{kind}/‹cut›, twice /{kind}/‹cut›"
    )
    assert cut_links("no link in here") == "no link in here"


def test_the_mails_stand_with_their_state_and_each_can_be_read(
    app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = invited(app)
    outbox.flush()
    resend(app, client_id)
    response = panel(admin, client_id)
    waiting, sent = mails(response)
    assert waiting.startswith("Waiting to be sent To info@nordwind.test Created")
    assert "· 0 attempts" in waiting
    assert sent.startswith("Accepted by mail server To info@nordwind.test Sent")
    assert "· 1 attempt " in sent

    taken = mail_server.wait_for(INVITEE)
    of_waiting, of_sent = [admin.get(address, htmx=True) for address in mail_addresses(response)]
    for shown in (of_waiting, of_sent):
        assert shown.status_code == 200
        assert "<html" not in shown.text
        assert not A_LINK.search(shown.text)
        assert "http://clients.harbour.test/invitations/‹cut›" in shown.text
    as_sent = parse(of_sent).select_one("pre")
    assert as_sent is not None
    # Only the minute of its expiry may have turned between the two.
    cut = taken.text.replace(taken.link, "http://clients.harbour.test/invitations/‹cut›")
    shown_words, sent_words = [re.sub(r"\d\d:\d\d", "", text).split() for text in (as_sent.get_text(), cut)]
    assert shown_words == sent_words
    assert str(taken.message["Subject"]) in of_sent.text


def test_without_htmx_a_mail_stands_in_its_place_in_the_history(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    resend(app, client_id)
    (address,) = mail_addresses(panel(admin, client_id))
    page = admin.get(address)
    assert "<html" in page.text
    assert not A_LINK.search(page.text)
    shown = parse(page).select_one("#mail-2 pre")
    assert shown is not None
    assert "‹cut›" in shown.get_text()


def test_a_mail_is_shown_by_the_names_of_its_own_time(app: Flask, admin: Browser, outbox: Outbox) -> None:
    client_id = invited(app)
    outbox.flush()
    admin.post(f"{ic(HARBOUR)}/{client_id}/correct", {"company_name": "Südwind", "email": "neu@sued.test"})
    newer, older = [admin.get(a, htmx=True).text for a in mail_addresses(panel(admin, client_id))]
    assert ("Südwind" in newer, "neu@sued.test" in newer) == (True, True)
    assert ("Nordwind Reisen" in older, INVITEE in older, "Südwind" in older) == (True, True, False)


def test_reading_sends_and_changes_nothing(app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer) -> None:
    client_id = invited(app)
    (address,) = mail_addresses(panel(admin, client_id))
    for _ in range(3):
        panel(admin, client_id)
        admin.get(address, htmx=True)
    outbox.flush()
    assert len(mail_server.to(INVITEE)) == 1


def test_an_open_panel_is_answered_only_when_something_has_changed(app: Flask, admin: Browser, outbox: Outbox) -> None:
    client_id = invited(app)

    def root() -> dict[str, str]:
        found = parse(panel(admin, client_id)).select_one("#client-history")
        assert found is not None
        return {name: str(value) for name, value in found.attrs.items()}

    seen = root()["hx-get"]
    assert "data-live" in root()
    assert admin.get(seen, htmx=True).status_code == 204
    outbox.flush()
    assert admin.get(seen, htmx=True).status_code == 200
    assert admin.get(root()["hx-get"], htmx=True).status_code == 204


def test_an_open_panel_says_that_its_client_was_removed_and_asks_no_more(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    with app.app_context():
        ada = find_user("ada@harbour.test")
        assert ada is not None
        remove_client(HARBOUR, UUID(client_id), ada.id)
    gone = admin.get(f"{ic(HARBOUR)}/{client_id}/history?seen=x", htmx=True)
    assert gone.status_code == 404
    assert "HX-Trigger" not in gone.headers
    assert "hx-get" not in gone.text
    assert "no longer exists" in gone.text


def test_it_costs_the_same_however_long_the_history(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    panel(admin, client_id)  # notes that the admin was seen, which the next ones do not
    with counted_statements(app) as short:
        panel(admin, client_id)
    for _ in range(5):
        resend(app, client_id)
    with counted_statements(app) as longer:
        response = panel(admin, client_id)
    assert len(events(response)) == 2 + 5 * 2
    assert len(longer) == len(short)


def test_an_actor_whose_account_is_gone_is_not_named(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    with app.app_context(), transaction() as session:
        session.execute(update(ClientEvent).values(actor_id=None))
    assert events(panel(admin, client_id))[-1].endswith("deleted user")


def test_a_client_whose_mails_were_pruned_keeps_its_history(app: Flask, admin: Browser) -> None:
    client_id = invited(app)
    with app.app_context(), transaction() as session:
        session.query(OutboxMail).delete()
    response = panel(admin, client_id)
    assert mails(response) == ["Older emails are no longer stored."]
    assert len(events(response)) == 2


# Who


def test_staff_may_look_and_are_offered_nothing_else(app: Flask, staff: Browser) -> None:
    client_id = invited(app)
    response = panel(staff, client_id)
    assert not parse(response).select("#correct-client")
    (address,) = mail_addresses(response)
    assert staff.get(address, htmx=True).status_code == 200


def test_nobody_else_may(app: Flask, admin: Browser, nobody: Browser, joined_client: Browser) -> None:
    client_id = invited(app)
    (mail,) = mail_addresses(panel(admin, client_id))
    for address in (f"{ic(HARBOUR)}/{client_id}/history", mail):
        assert joined_client.get(address).status_code == 403
        assert nobody.get(address).status_code == 302
        assert nobody.get(address, htmx=True).status_code == 401


def test_what_is_foreign_unknown_or_gone_gets_the_same_404(app: Flask, admin: Browser, stranger: Browser) -> None:
    client_id = invited(app)
    other_id = invited(app, "other@nordwind.test")
    (mail,) = mail_addresses(panel(admin, client_id))
    mail_id = mail.rpartition("/")[2]
    with app.app_context():
        olaf = find_user("olaf@alpine.test")
        assert olaf is not None
        add_client(ALPINE, olaf.id, "Foreign", "foreign@alpine.test")
        foreign_id = find_client(ALPINE, "foreign@alpine.test").id
    addresses = [
        f"{ic(HARBOUR)}/{foreign_id}/history",
        f"{ic(HARBOUR)}/{uuid4()}/history",
        f"{ic(HARBOUR)}/nonsense/history",
        f"{ic(HARBOUR)}/{client_id}/mails/{uuid4()}",
        f"{ic(HARBOUR)}/{other_id}/mails/{mail_id}",
        f"{ic(HARBOUR)}/{foreign_id}/mails/{mail_id}",
        f"{ic(HARBOUR)}/{client_id}/mails/1",
    ]
    answers = [admin.get(address) for address in addresses]
    answers += [stranger.get(mail), stranger.get(f"{ic(HARBOUR)}/{client_id}/history")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.data for answer in answers}) == 1
    fragments = [admin.client.get(address, headers=HTMX) for address in addresses[:2]]
    assert len({(answer.status_code, answer.data) for answer in fragments}) == 1
