"""Migrations: one line of them, whose end is what the models say, and which can be walked down and up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import inspect

from app import create_app
from app.extensions import db
from config import ROOT, load_settings
from tests.support.databases import KINDS

EmptyDatabase = Callable[[str], str]


@pytest.fixture(params=KINDS)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> EmptyDatabase:
    """Makes databases without a single table, by a name."""
    databases = request.getfixturevalue(f"{request.param}_databases")
    return lambda name: str(databases.empty(tmp_path, name))


@contextmanager
def app_on(database_url: str) -> Iterator[Flask]:
    app = create_app(
        load_settings({"DATABASE_URL": database_url, "SECRET_KEY": "a key for migrations and nothing else"})
    )
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def schema() -> dict[str, dict[str, Any]]:
    """All that the database itself says about our tables, without regard to order."""
    found = inspect(db.engine)
    return {
        table: {
            "columns": {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(table)},
            "primary key": found.get_pk_constraint(table),
            "checks": {c["name"]: c["sqltext"] for c in found.get_check_constraints(table)},
            "uniques": {c["name"]: c["column_names"] for c in found.get_unique_constraints(table)},
            "foreign keys": {
                c["name"]: (c["constrained_columns"], c["referred_table"], c["referred_columns"], c["options"])
                for c in found.get_foreign_keys(table)
            },
            "indexes": {c["name"]: (c["column_names"], c["unique"]) for c in found.get_indexes(table)},
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def test_there_is_one_line_of_migrations() -> None:
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    assert len(scripts.get_bases()) == 1
    assert len(scripts.get_heads()) == 1


def test_a_migrated_database_is_what_the_models_say(empty_database: EmptyDatabase) -> None:
    with app_on(empty_database("by_models")):
        db.create_all()
        by_models = schema()
    with app_on(empty_database("by_migrations")):
        flask_migrate.upgrade()
        assert schema() == by_models
        # What a developer would get from `flask db migrate`: nothing.
        with db.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), db.metadata) == []


def test_every_migration_can_be_walked_down_and_up_again(empty_database: EmptyDatabase) -> None:
    revisions = [script.revision for script in ScriptDirectory(str(ROOT / "migrations")).walk_revisions()]
    with app_on(empty_database("walked")):
        flask_migrate.upgrade()
        newest = schema()
        for _ in revisions:
            flask_migrate.downgrade()
        assert schema() == {}
        flask_migrate.upgrade()
        assert schema() == newest
        flask_migrate.downgrade(revision="base")
        assert schema() == {}
