"""The demo portals: whole or not at all, never beside other data, and each row with a history that explains it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from app import create_app
from app.accounts.passwords import password_fault
from app.core.clock import now
from app.demo import seed
from app.demo.data import HARBOUR, PASSWORD, PORTALS, Person
from app.extensions import db
from app.invitations import history
from app.models import ClientEvent, EventKind, ImportedClient, MailState, OutboxMail, Portal, User
from config import load_settings
from tests.support.databases import KINDS, SqliteDatabases, dump
from tests.support.shared import KEY

INVITED = (EventKind.INVITED, EventKind.RESENT)


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One with nothing in it."""
    databases = request.getfixturevalue(f"{request.param}_databases")
    return str(databases.fresh(tmp_path))


@pytest.fixture(scope="module")
def _demo(sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    url = sqlite_databases.copy(tmp_path_factory.mktemp("demo"), "demo")
    app = create_app(load_settings({"DATABASE_URL": url, "SECRET_KEY": KEY}))
    with app.app_context():
        assert seed.seed_demo()
        db.session.remove()
        db.engine.dispose()
    return app


@pytest.fixture
def demo(_demo: Flask) -> Iterator[None]:
    """The demo, made once for all who only look at it."""
    with _demo.app_context():
        yield
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def empty_app(environment: dict[str, str]) -> Iterator[Flask]:
    """The application with nothing in its database."""
    app = create_app(load_settings(environment))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.mark.usefixtures("empty_app")
def test_it_is_made_once() -> None:
    assert seed.seed_demo()
    before = dump()
    assert seed.seed_demo()
    assert dump() == before


@pytest.mark.usefixtures("empty_app")
def test_an_interrupted_one_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump()

    def interrupted(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(seed._Seeding, "_verification", interrupted)
    with pytest.raises(SystemExit):
        seed.seed_demo()
    assert dump() == before
    monkeypatch.undo()
    assert seed.seed_demo()


def test_other_data_is_left_alone(app: Flask) -> None:
    with app.app_context():
        before = dump()
        assert not seed.seed_demo()
        assert dump() == before


@pytest.mark.usefixtures("demo")
def test_every_state_is_there() -> None:
    clients = db.session.scalars(db.select(ImportedClient).where(ImportedClient.portal_id == HARBOUR.id)).all()
    at = now()
    seen = Counter(
        "joined"
        if client.is_joined
        else "registered"
        if client.is_registered_unverified
        else "declined"
        if client.is_declined
        else "expired"
        if client.is_link_expired(at)
        else "sent"
        if client.link_expires_at
        else "not sent"
        for client in clients
    )
    assert set(seen) == {"joined", "registered", "declined", "expired", "sent", "not sent"}
    assert len(clients) >= 36
    mails = Counter(db.session.scalars(db.select(OutboxMail.state)))
    assert set(mails) == {MailState.QUEUED, MailState.SENT, MailState.FAILED, MailState.BOUNCED}
    assert mails[MailState.QUEUED] <= 3
    assert any(not client.company_name.isascii() for client in clients)
    assert any(client.generation > 1 for client in clients)
    # In the table's order, newest first, the dates fall.
    created = [client.created_at for client in sorted(clients, key=lambda one: one.id)]
    assert created == sorted(created)


@pytest.mark.usefixtures("demo")
def test_each_history_explains_its_row() -> None:
    for client in db.session.scalars(db.select(ImportedClient)):
        events = history.events_of(client.portal_id, client.id)
        kinds = [event.kind for event in events]
        assert [event.at for event in events] == sorted(event.at for event in events)
        assert events[-1].at <= now()
        assert (events[0].kind, events[0].at) == (EventKind.INVITED, client.created_at)
        assert sum(kind in INVITED for kind in kinds) == client.generation == events[-1].generation
        current = [event for event in events if event.generation == client.generation]
        mail = db.session.scalars(
            db.select(OutboxMail).where(OutboxMail.client_id == client.id, OutboxMail.generation == client.generation)
        ).one()
        told = {event.kind for event in current}
        was_taken = mail.state in (MailState.SENT, MailState.BOUNCED)
        assert (EventKind.MAIL_SENT in told) == was_taken == (client.link_expires_at is not None)
        assert (EventKind.MAIL_BOUNCED in told) == (mail.state is MailState.BOUNCED)
        assert (EventKind.MAIL_FAILED in told) == (mail.state is MailState.FAILED)
        assert (EventKind.EXPIRED in told) == (client.link_lapsed_at is not None)
        assert (EventKind.JOINED in told) == client.is_joined
        if client.registered_at is not None:
            assert client.link_expires_at is not None
            assert client.registered_at < client.link_expires_at
        elif client.is_link_expired(now()):
            assert client.link_lapsed_at == client.link_expires_at


@pytest.mark.usefixtures("demo")
def test_nobody_of_the_demo_can_be_written_to() -> None:
    addresses = {*db.session.scalars(db.select(User.email)), *db.session.scalars(db.select(ImportedClient.email))}
    assert {address.rpartition(".")[2] for address in addresses} == {"example"}


@pytest.mark.usefixtures("demo")
def test_the_password_would_be_accepted_from_anybody() -> None:
    people = [
        *(person for portal in PORTALS for person in (portal.admin, *portal.staff)),
        *(Person(one.person, one.email) for portal in PORTALS for one in portal.invitees if one.person),
    ]
    for person in people:
        assert password_fault(PASSWORD, names=[person.name], email=person.email) is None


@pytest.mark.usefixtures("demo")
def test_nothing_is_left_out() -> None:
    assert set(db.session.scalars(db.select(Portal.id))) == {portal.id for portal in PORTALS}
    invitees = sum(len(portal.invitees) for portal in PORTALS)
    assert db.session.scalar(db.select(db.func.count()).select_from(ImportedClient)) == invitees
    assert db.session.scalar(db.select(db.func.count()).select_from(ClientEvent)) > 3 * invitees
