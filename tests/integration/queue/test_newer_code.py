"""What newer code has put into a queue during an upgrade waits for newer workers, and holds up nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db.transactions import transaction
from app.extensions import db
from app.outbox import queue as mails
from app.webhooks import queue as webhooks
from app.webhooks.endpoints import EVENTS, add_endpoint
from tests.conftest import HARBOUR
from tests.support.factories import import_file

pytestmark = pytest.mark.both_databases


class _RollBack(Exception):
    pass


@contextmanager
def newer_code(table: str, column: str) -> Iterator[Session]:
    """A transaction in which a table may have values that this code does not know. It is never committed."""
    try:
        with transaction() as session:
            if db.engine.dialect.name == "postgresql":
                session.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{column}"))
            else:
                session.execute(text("PRAGMA ignore_check_constraints = ON"))
            yield session
            raise _RollBack
    except _RollBack:
        pass
    finally:
        if db.engine.dialect.name == "sqlite":
            db.session.execute(text("PRAGMA ignore_check_constraints = OFF"))


def test_mails(app: Flask) -> None:
    with app.app_context():
        import_file(HARBOUR, "first@client.test", "second@client.test")
        with newer_code("outbox_mail", "kind") as session:
            session.execute(text("UPDATE outbox_mail SET queue = '/normal'"))
            session.execute(text("UPDATE outbox_mail SET kind = 'newer' WHERE recipient = 'first@client.test'"))
            fetched, _found = mails.fetch("/normal", 10)
            assert [mail.recipient for mail in fetched] == ["second@client.test"]
            assert mails.due_queues() == {}
            assert mails.queues_with_mails_elsewhere(["/normal"], ["slow.test"]) == []
            assert not mails.has_due_mail()


def test_webhooks(app: Flask) -> None:
    with app.app_context():
        add_endpoint(HARBOUR, "https://hooks.harbour.test/", "", EVENTS)
        import_file(HARBOUR, "first@client.test", "second@client.test")
        with newer_code("webhook_delivery", "event") as session:
            session.execute(
                text("UPDATE webhook_delivery SET event = 'newer' WHERE id = (SELECT min(id) FROM webhook_delivery)")
            )
            (endpoint,) = webhooks.due_endpoints()
            assert len(webhooks.fetch(endpoint, 10)) == 1
            assert webhooks.due_endpoints() == []
            assert not webhooks.has_work()
