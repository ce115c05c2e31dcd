"""What `app.database` and `app.prepared` add to the drivers."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Connection, Table, bindparam, literal, select, text, update
from sqlalchemy.exc import DBAPIError

from app.database import is_passing, kept, transaction
from app.extensions import db
from app.models import Portal
from app.prepared import Prepared
from tests.conftest import HARBOUR

pytestmark = pytest.mark.both_databases

PORTAL = Portal.__table__
assert isinstance(PORTAL, Table)
RENAME = Prepared(update(PORTAL).where(PORTAL.c.id == bindparam("portal_id")).values(name=bindparam("new_name")))
NAME = Prepared(select(PORTAL.c.name).where(PORTAL.c.id == bindparam("portal_id")))


@pytest.fixture
def connection(app: Flask) -> Iterator[Connection]:
    with app.app_context(), kept() as connection:
        yield connection


def name_of_harbour(connection: Connection) -> str:
    with transaction(connection):
        ((name,),) = NAME.run(connection, portal_id=HARBOUR)
    return str(name)


@pytest.mark.parametrize("value", ["it's", "50 % off", "%s %(name)s", ":name ?", "back\\slash", 'a "word"'])
def test_a_value_that_never_changes_stands_in_the_text_as_it_is(connection: Connection, value: str) -> None:
    statement = Prepared(select(literal(value).label("said"), (literal(value) == bindparam("asked")).label("is_same")))
    with transaction(connection):
        ((said, is_same),) = statement.run(connection, asked=value)
    assert (said, bool(is_same)) == (value, True)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("moment", ["before it begins", "in its middle", "before the commit"])
def test_a_kept_connection_that_was_lost_is_another_one_the_next_time(
    connection: Connection, database_url: str, moment: str
) -> None:
    def end() -> None:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [driver.info.backend_pid])

    before = name_of_harbour(connection)
    with pytest.raises(DBAPIError) as raised, transaction(connection):
        if moment == "before it begins":
            end()
        RENAME.run(connection, portal_id=HARBOUR, new_name="Another")
        if moment == "in its middle":
            end()
        RENAME.run(connection, portal_id=HARBOUR, new_name="Yet another")
        if moment == "before the commit":
            end()
    assert is_passing(raised.value)
    assert raised.value.connection_invalidated
    assert name_of_harbour(connection) == before
    assert db.session.scalar(text("SELECT 1")) == 1
