"""Lines are only ever added. The databases refuse everything else, but for the retention by age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from flask import Flask
from sqlalchemy import Delete, Update, delete, func, select, text, update
from sqlalchemy.exc import IntegrityError

from app.audit import service as audit
from app.audit.caller import Actor
from app.audit.retention import prune_audit
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import ActorKind, AuditEvent, AuditIdentity, AuditKind
from tests.conftest import HARBOUR
from tests.integration.audit.trail import lines
from tests.support.app_driver import AppDriver

pytestmark = pytest.mark.both_databases

SAY_HOW_LONG = text("SELECT set_config('imported_clients.audit_retention', :days, true)")


def record(age_days: float, name: str = "a file") -> None:
    """Add a line, as if it had been so long ago."""
    with transaction() as session:
        audit.record(HARBOUR, AuditKind.EXPORTED, target=audit.thing(name))
        session.flush()
        newest = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
        values = {
            column.name: getattr(newest, column.key) for column in AuditEvent.__table__.columns if column.name != "id"
        }
        session.add(AuditEvent(**values | {"at": datetime.now(UTC) - timedelta(days=age_days)}))
        session.expunge(newest)


def count(model: type[AuditEvent | AuditIdentity]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


CHANGES = {
    "delete": delete(AuditEvent),
    "change": update(AuditEvent).values(kind=AuditKind.SIGNED_IN),
    "empty": update(AuditEvent).values(network=None),
}


def test_the_database_refuses_to_change_or_delete_a_line(app_driver: AppDriver) -> None:
    app_driver.do(record, 0)

    def change(statement: Delete | Update) -> None:
        with transaction() as session:
            session.execute(statement)

    before = lines(app_driver)
    for name, statement in CHANGES.items():
        with pytest.raises(IntegrityError, match="append-only"):
            app_driver.do(change, statement)
        assert lines(app_driver) == before, name


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_lets_only_the_retention_through_and_only_by_age(app_driver: AppDriver) -> None:
    app_driver.do(record, 40)

    def delete_old(days: str | None) -> None:
        with transaction() as session:
            if days is not None:
                session.execute(SAY_HOW_LONG, {"days": days})
            session.execute(delete(AuditEvent).where(AuditEvent.at < datetime.now(UTC) - timedelta(days=39)))

    for days in (None, "", "41"):
        with pytest.raises(IntegrityError, match="append-only"):
            app_driver.do(delete_old, days)

    def delete_young() -> None:
        with transaction() as session:
            session.execute(SAY_HOW_LONG, {"days": "0"})
            session.execute(delete(AuditEvent).where(AuditEvent.at > datetime.now(UTC) - timedelta(days=29)))

    with pytest.raises(IntegrityError, match="append-only"):
        app_driver.do(delete_young)

    def truncate() -> None:
        with transaction() as session:
            session.execute(SAY_HOW_LONG, {"days": "30"})
            session.execute(text("TRUNCATE audit_event"))

    with pytest.raises(IntegrityError, match="append-only"):
        app_driver.do(truncate)
    assert app_driver.do(count, AuditEvent) == 2
    app_driver.do(delete_old, "30")
    assert app_driver.do(count, AuditEvent) == 1

    def is_over() -> None:
        with transaction() as session:
            session.execute(delete(AuditEvent))

    # What a transaction said has ended with it.
    with pytest.raises(IntegrityError, match="append-only"):
        app_driver.do(is_over)


def test_old_lines_go_and_whom_nobody_names_any_more(app: Flask, app_driver: AppDriver) -> None:
    ada = app_driver.user("ada@harbour.test").id

    def act() -> None:
        with transaction():
            audit.record(HARBOUR, AuditKind.MAIL_TESTED, actor=Actor(ActorKind.PERSON, ada))

    app_driver.do(act)
    app_driver.do(record, 364, "younger")
    for number in range(3):
        app_driver.do(record, 366, f"older {number}")
    assert app_driver.do(count, AuditEvent) == 9
    assert run_job(app, "retention")
    assert app_driver.do(count, AuditEvent) == 6
    assert app_driver.do(prune_audit, 30, Event()) == 1
    assert app_driver.do(prune_audit, 30, Event()) == 0
    names = set(app_driver.do(lambda: db.session.scalars(select(AuditIdentity.name)).all()))
    assert names == {"Ada Berg", "younger", "older 0", "older 1", "older 2"}, "each still has a line of today"


def test_whom_no_line_names_is_forgotten(app_driver: AppDriver) -> None:
    """The team stays: its people will be named again."""
    ada, carla = (app_driver.user(email).id for email in ("ada@harbour.test", "carla@client.test"))

    def name() -> None:
        with transaction() as session:
            for user_id, of_whom in ((ada, "Ada Berg"), (carla, "Carla Vega"), (None, "a thing")):
                session.add(AuditIdentity(portal_id=HARBOUR, user_id=user_id, name=of_whom))

    app_driver.do(name)
    assert app_driver.do(prune_audit, 365, Event()) == 0
    assert app_driver.do(lambda: db.session.scalars(select(AuditIdentity.name)).all()) == ["Ada Berg"]


def test_the_database_knows_no_other_kind(app_driver: AppDriver) -> None:
    insert = (
        "INSERT INTO audit_event (portal_id, at, kind, actor, change) VALUES ('harbour', :at, 'guessed', 'job', '{}')"
    )

    def add() -> None:
        with transaction() as session:
            session.execute(text(insert), {"at": datetime.now(UTC)})

    with pytest.raises(IntegrityError, match="ck_audit_event_kind"):
        app_driver.do(add)
