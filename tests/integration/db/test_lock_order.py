"""All transactions lock in one order (see `app.db.transactions`), so on PostgreSQL no two wait for each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import current_thread
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text

from app.core.clock import now
from app.core.links import LinkClaim, LinkKind, make_token
from app.db.transactions import transaction
from app.extensions import db
from app.outbox import queue
from app.outbox.errors import TransientFailure
from app.outbox.leased_email import LeasedEmail
from app.registration.verification import Visitor, verify_email
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.processes import wait_until
from tests.support.together import at_once

INVITEE = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}

_LOCKS = re.compile(r"FOR (NO KEY )?UPDATE")


class _Meeting:
    """Lets two threads go on after their first locks only when each has one, or waits for the other's."""

    def __init__(self) -> None:
        self._have_one: set[str] = set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        event.listen(db.engine, "after_cursor_execute", self._executed)
        yield
        event.remove(db.engine, "after_cursor_execute", self._executed)

    def _executed(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        name = current_thread().name
        if name in self._have_one or not _LOCKS.search(statement):
            return
        self._have_one.add(name)
        wait_until(lambda: len(self._have_one) == 2 or self._is_somebody_waiting(), "each has a lock, or waits for one")

    @staticmethod
    def _is_somebody_waiting() -> bool:
        with db.engine.connect() as connection:
            return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_verifying_while_the_account_s_mails_are_settled(app: Flask, app_driver: AppDriver) -> None:
    client_id = app_driver.invite(INVITEE)
    invitation = app_driver.claim_one()
    assert Browser(app).post(app_driver.link(client_id), NORA).status_code == 303
    verification = app_driver.claim_one()
    user = app_driver.user(INVITEE)
    claim = LinkClaim(str(user.id), user.verification_generation)

    def settle(*mails: LeasedEmail) -> None:
        with app.app_context(), transaction():
            queue.record_results([queue.Outcome(mail, TransientFailure("Not now.")) for mail in mails], now(), {})

    def verify() -> None:
        with app.app_context():
            verify_email(make_token(LinkKind.VERIFICATION, claim), Visitor(user.id))

    with app.app_context(), _Meeting().listening():
        at_once([partial(settle, invitation, verification), verify])
    assert app_driver.client(INVITEE).is_joined
