"""What `app.db.transactions` adds to the drivers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from app.db.transactions import is_passing, transaction
from app.extensions import db
from app.models import Portal
from tests.conftest import HARBOUR

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def in_app(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def rename(name: str) -> None:
    db.session.execute(update(Portal).where(Portal.id == HARBOUR).values(name=name))


def name_of_harbour() -> str:
    with transaction() as session:
        return session.scalars(select(Portal.name).where(Portal.id == HARBOUR)).one()


@pytest.mark.parametrize("moment", ["in its middle", "before the commit"])
def test_a_connection_that_was_lost_is_another_one_the_next_time(database_url: str, moment: str) -> None:
    def end() -> None:
        driver: Any = db.session.connection().connection.dbapi_connection
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [driver.info.backend_pid])

    before = name_of_harbour()
    with pytest.raises(DBAPIError) as raised, transaction():
        rename("Another")
        end()
        if moment == "in its middle":
            rename("Yet another")
    assert is_passing(raised.value)
    assert raised.value.connection_invalidated
    assert name_of_harbour() == before


def test_nothing_is_set_for_the_session_and_a_sleeper_is_ended_all_the_same() -> None:
    """Behind a pooler, the next transaction of ours has another session."""
    setting = text("SELECT setting, source FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'")
    with transaction() as session:
        assert session.execute(setting).one() == ("60000", "session")
    driver: Any = db.session.connection().connection.dbapi_connection
    db.session.rollback()
    assert driver.execute(setting.text).fetchone() == ("0", "default")
