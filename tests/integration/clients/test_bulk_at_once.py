"""A bulk action is done whole or not at all: pressed twice, with an error in the middle, beside other changes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.extensions import db
from app.invitations import renewal
from app.invitations.service import invitation_url
from app.models import ImportedClient, MailState, OutboxMail
from tests.conftest import HARBOUR, Outbox
from tests.integration.clients.bulk import BULK, import_many
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.databases import everything
from tests.support.factories import PASSWORD, find_client, make_user
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases


def together(*actions: Any) -> list[Any]:
    """Run actions at the same moment, each in its own thread; their results in order."""
    results: list[Any] = [None] * len(actions)
    gate = threading.Barrier(len(actions))

    def run(n: int) -> None:
        gate.wait()
        results[n] = actions[n]()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_sent_twice(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, ids: list[str]
) -> None:
    for _ in range(2):
        app_driver.let_presses_pass()
        assert admin.post(f"{BULK}/resend", {"client_id": ids}).status_code == 303
    outbox.flush()
    # The older mails still waited: one goes out for each, with the one link that works.
    assert sorted(mail.recipient for mail in mail_server.mails) == [f"c{n}@client.test" for n in range(3)]
    assert admin.post(f"{BULK}/remove", {"client_id": ids}).status_code == 303
    assert admin.post(f"{BULK}/remove", {"client_id": ids}).status_code == 409


def test_an_error_in_the_middle_leaves_nothing(
    app: Flask, admin: Browser, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(app)

    def fail(*_args: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(renewal, "queue_invitations", fail)
    assert admin.post(f"{BULK}/resend", {"client_id": ids}).status_code == 500
    assert everything(app) == before


def test_joining_wins_over_a_removal_or_comes_too_late(app: Flask, admin: Browser, ids: list[str]) -> None:
    with app.app_context():
        make_user("c0@client.test", "Cara")
        client = find_client(HARBOUR, "c0@client.test")
        link = invitation_url(HARBOUR, client.id, 1)
    invitee = Browser(app)
    invitee.sign_in("c0@client.test", PASSWORD)
    for browser in (admin, invitee):
        browser.csrf_token()
    removed, joined = together(lambda: admin.post(f"{BULK}/remove", {"client_id": ids}), lambda: invitee.post(link, {}))
    assert removed.status_code == 303
    left = [(row.email, row.status) for row in admin.rows(HARBOUR)]
    if joined.status_code == 303:
        assert left == [("c0@client.test", "joined")]
    else:
        assert (joined.status_code, left) == (410, [])


def test_two_admins_at_once(app: Flask, admin: Browser, ids: list[str]) -> None:
    colleague = Browser(app)
    colleague.sign_in("ada@harbour.test", PASSWORD)
    for browser in (admin, colleague):
        browser.csrf_token()
    resent, removed = together(
        lambda: admin.post(f"{BULK}/resend", {"client_id": ids}),
        lambda: colleague.post(f"{BULK}/remove", {"client_id": ids[::-1]}),
    )
    assert removed.status_code == 303
    assert resent.status_code in {303, 409}
    assert admin.rows(HARBOUR) == []
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(OutboxMail)) == 0


def test_bulk_resend_while_mails_are_being_sent(app: Flask, admin: Browser, outbox: Outbox, ids: list[str]) -> None:
    import_many(app, 50)
    admin.csrf_token()
    _flushed, answer = together(outbox.flush, lambda: admin.post(f"{BULK}/resend", {"all": "1"}))
    assert answer.status_code == 303
    outbox.flush()
    with app.app_context():
        current = db.session.execute(
            select(OutboxMail.state, func.count())
            .join(
                ImportedClient,
                (OutboxMail.client_id == ImportedClient.id) & (OutboxMail.generation == ImportedClient.generation),
            )
            .group_by(OutboxMail.state)
        ).all()
        assert [tuple(row) for row in current] == [(MailState.SENT, 53)]
