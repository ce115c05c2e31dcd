"""Rows that are inserted many at once: the values that arrive, and the errors that are raised."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from app.db.bulk_insert import insert_all
from app.db.transactions import transaction
from app.extensions import db
from app.models import MailKind, MailState, OutboxMail
from app.outbox.priorities import queue_for
from tests.conftest import HARBOUR

AT = datetime(2026, 3, 1, 9, 30, 15, 123456, UTC)
ODD = "tab\there, line\nbreak, back\\slash, \\N, quote ' and \", {curly}, 日本 \N{PARTY POPPER}"


def _mail(generation: int, **more: Any) -> dict[str, object]:
    return {
        "id": uuid4(),
        "kind": MailKind.INVITATION,
        "portal_id": HARBOUR,
        "client_id": None,
        "generation": generation,
        "recipient": "info@nordwind.test",
        "params": {"company_name": ODD, "empty": ""},
        "message_id": f"<{uuid4().hex}@harbour.test>",
        "created_at": AT,
        "state": MailState.QUEUED,
        "attempts": 0,
        "due_at": AT,
        "last_error": ODD,
        "queue": queue_for(MailKind.INVITATION, HARBOUR),
        **more,
    }


@pytest.mark.both_databases
def test_values_arrive_as_they_were_given(app: Flask) -> None:
    rows = [_mail(1), _mail(2, last_error=None), _mail(3, last_error="")]
    with app.app_context():
        with transaction() as session:
            insert_all(session, OutboxMail, rows)
        stored = db.session.scalars(select(OutboxMail).order_by(OutboxMail.generation)).all()
        assert [{name: getattr(mail, name) for name in rows[0]} for mail in stored] == rows


@pytest.mark.both_databases
def test_a_row_that_the_database_refuses_is_an_error_of_sqlalchemys_and_the_transaction_can_be_undone(
    app: Flask,
) -> None:
    twice = uuid4()
    with app.app_context():
        with pytest.raises(IntegrityError), transaction() as session:
            insert_all(session, OutboxMail, [_mail(1, id=twice), _mail(2, id=twice)])
        assert db.session.scalars(select(OutboxMail)).all() == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_that_is_lost_is_not_used_again(app: Flask) -> None:
    def lose_it(session: Session) -> None:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        with db.engine.connect() as other:
            other.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))

    with app.app_context():
        with pytest.raises(OperationalError), transaction() as session:
            lose_it(session)
            insert_all(session, OutboxMail, [_mail(1)])
        with transaction() as session:
            insert_all(session, OutboxMail, [_mail(1)])
        assert len(db.session.scalars(select(OutboxMail)).all()) == 1
