"""The database keeps corrections whole: several at the same time, and through the migration."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import Row, text

from app.accounts.users import find_user
from app.clients.service import AddressTaken, correct_client, remove_client
from app.core.errors import Conflict, NotFound
from app.db.transactions import transaction
from app.extensions import db
from app.invitations import history
from app.models import EventKind
from app.queue import sending
from tests.conftest import HARBOUR
from tests.integration.clients.corrections import NEW, invited
from tests.support.factories import find_client

pytestmark = pytest.mark.both_databases


def ada_id(app: Flask) -> int:
    with app.app_context():
        ada = find_user("ada@harbour.test")
        assert ada is not None
        return ada.id


# At the same time


def at_once(app: Flask, *calls: Callable[[], None]) -> list[str]:
    """Call all from threads that set off together; the name of what each raised, or "done"."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], None]) -> str:
        with app.app_context():
            barrier.wait(timeout=30)
            try:
                call()
            except (AddressTaken, Conflict, NotFound) as problem:
                return type(problem).__name__
            return "done"

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result(timeout=60) for future in [threads.submit(run, call) for call in calls]]


def test_with_a_removal_there_is_one_outcome(app: Flask) -> None:
    ada = ada_id(app)
    for _ in range(5):
        client_id = UUID(invited(app))
        outcome = at_once(
            app,
            lambda: correct_client(HARBOUR, client_id, ada, "Nordwind Reisen", NEW),  # noqa: B023
            lambda: remove_client(HARBOUR, client_id, ada),  # noqa: B023
        )
        assert outcome in (["done", "done"], ["NotFound", "done"])
        with app.app_context():
            assert db.session.execute(text("SELECT count(*) FROM imported_client")).scalar() == 0
            assert db.session.execute(text("SELECT count(*) FROM outbox_mail")).scalar() == 0
            kinds = [event.kind for event in history.events_of(HARBOUR, client_id)]
            assert kinds[-1] is EventKind.REMOVED
            assert (EventKind.CORRECTED in kinds) == (outcome[0] == "done")


def test_of_two_clients_that_get_one_address_one_has_it(app: Flask) -> None:
    ada = ada_id(app)
    ids = [UUID(invited(app, f"{n}@nordwind.test")) for n in range(4)]
    outcome = at_once(
        app,
        *[lambda one=one: correct_client(HARBOUR, one, ada, "Nordwind", NEW) for one in ids],
    )
    assert sorted(outcome) == ["AddressTaken"] * 3 + ["done"]
    with app.app_context():
        assert str(find_client(HARBOUR, NEW).id) == str(ids[outcome.index("done")])


def test_two_clients_that_exchange_their_addresses_do_not_wait_for_each_other(app: Flask) -> None:
    ada = ada_id(app)
    one, two = UUID(invited(app, "one@nordwind.test")), UUID(invited(app, "two@nordwind.test"))
    outcome = at_once(
        app,
        lambda: correct_client(HARBOUR, one, ada, "One", "two@nordwind.test"),
        lambda: correct_client(HARBOUR, two, ada, "Two", "one@nordwind.test"),
    )
    assert outcome == ["AddressTaken", "AddressTaken"]


# The migration


def all_events(app: Flask) -> str:
    """The histories as text, in a schema of any age: what was recorded from the first one on."""
    with app.app_context():
        rows = db.session.execute(text("SELECT * FROM client_event ORDER BY id")).all()
        db.session.remove()
    return "\n".join(str({name: row[name] for name in row if name != "address_digest"}) for row in map(_named, rows))


def _named(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)


def test_the_migration_keeps_every_event_and_can_be_walked_down(app: Flask) -> None:
    client_id = invited(app)
    with app.app_context():
        correct_client(HARBOUR, UUID(client_id), ada_id(app), "Nordwind", NEW)
    before = all_events(app)
    with app.app_context():
        downgrade(revision="0001")
        db.session.remove()
        after = all_events(app)
        # First of all, since other tests need the newest schema, whatever this one finds.
        upgrade()
        with transaction() as session:
            sending.release(session.connection())  # its row is new, so it takes the database for an old copy
        db.session.remove()
    assert after == all_events(app) == before.replace("'corrected'", "'resent'")
    with app.app_context(), transaction():
        client = find_client(HARBOUR, NEW)
        history.record(client, EventKind.CORRECTED)
