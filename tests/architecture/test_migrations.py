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
from sqlalchemy import insert, inspect, text

from app import create_app
from app.extensions import db
from app.models import AppliedMigration
from config import ROOT, load_settings
from tests.support.databases import KINDS, PostgresqlDatabases, SqliteDatabases

MakeDatabase = Callable[[str], str]


@pytest.fixture(params=KINDS)
def databases(request: pytest.FixtureRequest) -> SqliteDatabases | PostgresqlDatabases:
    return request.getfixturevalue(f"{request.param}_databases")  # type: ignore[no-any-return]


@pytest.fixture
def empty_database(databases: SqliteDatabases | PostgresqlDatabases, tmp_path: Path) -> MakeDatabase:
    """Makes databases without a single table, by a name."""
    return lambda name: databases.empty(tmp_path, name)


@pytest.fixture
def migrated_database(databases: SqliteDatabases | PostgresqlDatabases, tmp_path: Path) -> MakeDatabase:
    """Makes copies of a database that our migrations made, by a name."""
    return lambda name: databases.copy(tmp_path, name)


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
    numbered = set[str]()
    if db.engine.dialect.name == "sqlite":
        query = text("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'")
        numbered.update(db.session.scalars(query))
        db.session.rollback()
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
            "ids": "never given again" if table in numbered else "",
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def test_there_is_one_line_of_migrations() -> None:
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    assert len(scripts.get_bases()) == 1
    assert len(scripts.get_heads()) == 1


def test_a_migrated_database_is_what_the_models_say(
    empty_database: MakeDatabase, migrated_database: MakeDatabase
) -> None:
    with app_on(empty_database("by_models")):
        db.create_all()
        by_models = schema()
    with app_on(migrated_database("by_migrations")):
        assert schema() == by_models
        # What a developer would get from `flask db migrate`: nothing.
        with db.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), db.metadata) == []


def test_every_migration_can_be_walked_down_and_up_again(migrated_database: MakeDatabase) -> None:
    """By one step, as `flask db downgrade` does, a part of the way and up again, and then to the beginning."""
    with app_on(migrated_database("walked")):
        newest = schema()
        flask_migrate.downgrade()
        assert schema() != newest
        flask_migrate.downgrade(revision="0024")
        flask_migrate.upgrade()
        assert schema() == newest  # also what an earlier migration did
        flask_migrate.downgrade(revision="base")
        assert schema() == {}
        flask_migrate.upgrade()
        assert schema() == newest


def test_code_runs_on_a_newer_schema_that_allows_it(
    empty_database: MakeDatabase, migrated_database: MakeDatabase
) -> None:
    def answer(app: Flask) -> tuple[int, str]:
        response = app.test_client().get("/readyz")
        db.session.rollback()
        return response.status_code, response.json["status"]

    with app_on(empty_database("older")) as app:
        assert answer(app)[0] == 503
    with app_on(migrated_database("newer")) as app:
        assert answer(app) == (200, "ready")
        flask_migrate.downgrade()
        assert answer(app)[0] == 503
        flask_migrate.upgrade()
        # As code would find it that is two migrations older than the schema.
        for revision, may_run, status in (("9998", True, 200), ("9999", False, 503)):
            with db.engine.begin() as connection:
                connection.execute(insert(AppliedMigration).values(revision=revision, older_code_may_run=may_run))
                connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
            assert answer(app)[0] == status


def test_every_migration_says_whether_older_code_may_run() -> None:
    for script in ScriptDirectory(str(ROOT / "migrations")).walk_revisions():
        assert script.revision < "0016" or isinstance(script.module.older_code_may_run, bool)
        # The documents promise that an upgrade from there needs no stop.
        assert script.revision <= "0024" or script.module.older_code_may_run


def test_the_upgrade_knows_what_only_a_portal_s_own_mail_server_has_proved(empty_database: MakeDatabase) -> None:
    """Harbour has a mail server of its own, Alpine had one that was at fault once, and Plain never had one."""
    with app_on(empty_database("accounts")):
        flask_migrate.upgrade(revision="0011")
        with db.engine.begin() as connection:
            for statement in ACCOUNTS_BEFORE.strip().split(";\n"):
                connection.execute(text(statement))
        flask_migrate.upgrade()
        with db.engine.begin() as connection:
            accounts = connection.execute(
                text(
                    "SELECT email, email_verified_at IS NOT NULL, verified_for_portal_id, verification_generation"
                    " FROM user_account"
                )
            )
            found = {row[0]: (bool(row[1]), *row[2:]) for row in accounts}
            mails = {
                row[0]: tuple(row[1:])
                for row in connection.execute(text("SELECT recipient, generation, queue FROM outbox_mail"))
            }
            sessions = connection.scalar(text("SELECT count(*) FROM login_session"))
    assert found == {
        "made@x.test": (True, None, 0),
        "linked@x.test": (True, "harbour", 2),
        "long.ago@x.test": (True, "alpine", 2),
        "plain@x.test": (True, None, 1),
        "mailed@x.test": (False, None, 2),
        "waits@x.test": (False, None, 2),
        "waits.plainly@x.test": (False, None, 1),
        "of.a.shell@x.test": (True, None, 0),
    }
    assert mails == {
        "linked@x.test": (1, "/high"),
        "plain@x.test": (1, "/high"),
        # The link in it is dead, for it went through Harbour's server; the one that waits gets another.
        "mailed@x.test": (1, "/retry"),
        "waits@x.test": (2, "/high"),
        "waits.plainly@x.test": (1, "/high"),
    }
    assert sessions == 1


def test_the_upgrade_keeps_what_columns_and_tables_of_other_names_hold(empty_database: MakeDatabase) -> None:
    """A portal with a client, a mail, a mail server, a webhook on its way and a counted action."""
    with app_on(empty_database("names")):
        flask_migrate.upgrade(revision="0016")
        with db.engine.begin() as connection:
            for statement in NAMES_BEFORE:
                connection.execute(text(statement))
        flask_migrate.upgrade()
        with db.engine.begin() as connection:
            found = {
                query: connection.execute(text(query)).all()
                for query in (
                    "SELECT email FROM imported_client",
                    "SELECT recipient, queue FROM outbox_mail",
                    "SELECT encrypted_password FROM portal_mail_server",
                    "SELECT encrypted_secret, former_encrypted_secret FROM webhook_endpoint",
                    "SELECT event FROM webhook_delivery",
                    "SELECT key FROM rate_limit_hit",
                )
            }
    assert [[tuple(row) for row in rows] for rows in found.values()] == [
        [("anna@client.test",)],
        [("anna@client.test", "harbour/normal")],
        [("a password",)],
        [("a secret", "an older one")],
        [("client.invited",)],
        [("sign-in",)],
    ]


def test_the_upgrade_moves_the_address_for_replies_to_the_portal(empty_database: MakeDatabase) -> None:
    with app_on(empty_database("replies")):
        flask_migrate.upgrade(revision="0017")
        with db.engine.begin() as connection:
            for statement in [
                *map(_portal, ("harbour", "alpine", "plain")),
                _mail_server("harbour", "'desk@harbour.test'"),
                _mail_server("alpine", "NULL"),
            ]:
                connection.execute(text(statement))
        flask_migrate.upgrade(revision="0018")
        in_portals = "SELECT id, reply_to FROM portal ORDER BY id"
        with db.engine.begin() as connection:
            upgraded = connection.execute(text(in_portals)).all()
        flask_migrate.downgrade(revision="0017")
        with db.engine.begin() as connection:
            in_servers = "SELECT portal_id, reply_to FROM portal_mail_server ORDER BY portal_id"
            downgraded = connection.execute(text(in_servers)).all()
    assert [tuple(row) for row in upgraded] == [("alpine", None), ("harbour", "desk@harbour.test"), ("plain", None)]
    assert [tuple(row) for row in downgraded] == [("alpine", None), ("harbour", "desk@harbour.test")]


def test_the_upgrade_folds_the_i_of_turkish_in_every_name_and_the_downgrade_as_before(
    empty_database: MakeDatabase,
) -> None:
    """Of 1,501 clients with such a name, more than one batch, and of an account; other names stay as they are."""
    with app_on(empty_database("folded")):
        flask_migrate.upgrade(revision="0021")
        with db.engine.begin() as connection:
            connection.execute(text(_portal("harbour")))
            clients = [
                {"id": f"{n:032x}", "name": f"{name} {n:04}", "folded": f"{folded} {n:04}", "email": f"{n}@x.test"}
                for name, folded, numbers in (
                    ("İZMİR", "i\u0307zmi\u0307r", range(1500)),
                    ("Irmak ırmağı", "irmak ırmağı", [1500]),
                    ("Straße", "untouched", [1501]),
                )
                for n in numbers
            ]
            connection.execute(text(_FOLDED_CLIENT), clients)
            connection.execute(text(_account(1, "ayşe", verified=True, generation=0)))
            connection.execute(text("UPDATE user_account SET name = 'Ayşe Işık', name_folded = 'ayşe işık'"))
        flask_migrate.upgrade(revision="0022")
        upgraded = _folded_names()
        flask_migrate.downgrade(revision="0021")
        downgraded = _folded_names()
    assert upgraded == [
        *(f"izmir {n:04}" for n in range(1500)),
        "irmak irmaği 1500",
        "untouched 1501",
        "ayşe işik",
    ]
    assert downgraded == [*(one["folded"] for one in clients), "ayşe işık"]


def _folded_names() -> list[str]:
    with db.engine.begin() as connection:
        clients = connection.scalars(text("SELECT company_name_folded FROM imported_client ORDER BY id")).all()
        return [*clients, *connection.scalars(text("SELECT name_folded FROM user_account"))]


_AT = "'2026-01-01 12:00:00+00:00'"
_FOLDED_CLIENT = (
    "INSERT INTO imported_client (portal_id, id, company_name, company_name_folded, email, status, created_at,"
    f" email_last_sent_at, generation) VALUES ('harbour', :id, :name, :folded, :email, 'invite_sent', {_AT}, {_AT}, 1)"
)


def _portal(portal_id: str) -> str:
    return (
        "INSERT INTO portal (id, name, sends_reminders, gives_fresh_links, created_at)"
        f" VALUES ('{portal_id}', '{portal_id}', false, true, {_AT})"
    )


def _mail_server(portal_id: str, reply_to: str) -> str:
    return (
        "INSERT INTO portal_mail_server (portal_id, host, port, tls, sender, reply_to)"
        f" VALUES ('{portal_id}', 'h', 25, 'none', 's', {reply_to})"
    )


def _account(number: int, name: str, *, verified: bool, generation: int) -> str:
    verified_at = _AT if verified else "NULL"
    return (
        "INSERT INTO user_account (id, email, name, name_folded, password_hash, email_verified_at,"
        " verification_generation, reset_generation, created_at) VALUES"
        f" ({number}, '{name}@x.test', '{name}', '{name}', 'hash', {verified_at}, {generation}, 0, {_AT})"
    )


def _mail(number: int, name: str, portal_id: str, *, state: str = "sent", attempts: int = 0) -> str:
    return (
        "INSERT INTO outbox_mail (id, kind, portal_id, user_id, generation, recipient, params, message_id, created_at,"
        f" lane, state, attempts, due_at) VALUES ('{number:032x}', 'verification', '{portal_id}', {number}, 1,"
        f" '{name}@x.test', '{{}}', 'm', {_AT}, '{portal_id}/awaited', '{state}', {attempts}, {_AT})"
    )


ACCOUNTS_BEFORE = ";\n".join(
    [
        *map(_portal, ("harbour", "alpine", "plain")),
        "INSERT INTO portal_mail_server (portal_id, host, port, tls, sender) VALUES ('harbour', 'h', 25, 'none', 's')",
        "INSERT INTO mail_server_state (server, faults) VALUES ('alpine', 0)",
        "INSERT INTO mail_server_state (server, faults) VALUES ('', 0)",
        _account(1, "made", verified=True, generation=0),
        f"INSERT INTO membership (portal_id, user_id, role, created_at) VALUES ('harbour', 1, 'staff', {_AT})",
        _account(2, "linked", verified=True, generation=1),
        _mail(2, "linked", "harbour"),
        _account(3, "long.ago", verified=True, generation=1),
        "INSERT INTO client_event (portal_id, client_id, kind, generation, at, actor_id)"
        f" VALUES ('alpine', '{3:032x}', 'registered', 1, {_AT}, 3)",
        _account(4, "plain", verified=True, generation=1),
        _mail(4, "plain", "plain"),
        _account(5, "mailed", verified=False, generation=1),
        _mail(5, "mailed", "harbour", attempts=1),
        _account(6, "waits", verified=False, generation=1),
        _mail(6, "waits", "harbour", state="queued"),
        _account(7, "waits.plainly", verified=False, generation=1),
        _mail(7, "waits.plainly", "plain", state="queued"),
        _account(8, "of.a.shell", verified=False, generation=0),
        "INSERT INTO shell_issuer (id, issuer, jwks_url, created_at)"
        f" VALUES (1, 'https://shell.test', 'https://shell.test/keys', {_AT})",
        "INSERT INTO shell_account (id, issuer_id, subject, user_id, is_made_here, created_at)"
        f" VALUES (1, 1, 's', 8, true, {_AT})",
        "INSERT INTO shell_account (id, issuer_id, subject, user_id, is_made_here, created_at)"
        f" VALUES (2, 1, 't', 2, false, {_AT})",
        *(
            "INSERT INTO login_session (id, user_id, portal_id, shell_account_id, created_at, expires_at)"
            f" VALUES ('{user}', {user}, 'harbour', {account}, {_AT}, {_AT})"
            for user, account in ((8, 1), (2, 2))
        ),
    ]
)

_CLIENT = f"{9:032x}"
NAMES_BEFORE = [
    _portal("harbour"),
    "INSERT INTO imported_client (portal_id, id, company_name, company_name_folded, email, status, created_at,"
    f" email_last_sent_at, generation) VALUES ('harbour', '{_CLIENT}', 'Anna', 'anna', 'anna@client.test',"
    f" 'invite_sent', {_AT}, {_AT}, 1)",
    "INSERT INTO outbox_mail (id, kind, portal_id, client_id, generation, recipient, params, message_id, created_at,"
    f" lane, state, attempts, due_at) VALUES ('{_CLIENT}', 'invitation', 'harbour', '{_CLIENT}', 1,"
    f" 'anna@client.test', '{{}}', 'm', {_AT}, 'harbour/fresh', 'queued', 0, {_AT})",
    "INSERT INTO portal_mail_server (portal_id, host, port, tls, sender, sealed_password)"
    " VALUES ('harbour', 'h', 25, 'none', 's', 'a password')",
    "INSERT INTO webhook_endpoint (portal_id, id, url, description, events, is_on, created_at, sealed_secret,"
    f" former_sealed_secret, secret_number) VALUES ('harbour', '{_CLIENT}', 'https://x.test', '', '[]', true, {_AT},"
    " 'a secret', 'an older one', 1)",
    "INSERT INTO webhook_delivery (message_id, portal_id, endpoint_id, event, at, state, attempts, due_at, give_up_at)"
    f" VALUES ('{_CLIENT}', 'harbour', '{_CLIENT}', 'client.invited', {_AT}, 'queued', 0, {_AT}, {_AT})",
    f"INSERT INTO throttle_hit (key, at) VALUES ('sign-in', {_AT})",
]
