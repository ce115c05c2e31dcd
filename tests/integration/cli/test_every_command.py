"""Every command of ours with a wrong id, twice, with wrong usage, without a database and on an old schema.

Each refuses in one line with the right exit code, and nothing is done by halves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from flask import Flask
from sqlalchemy import text as sql

from app.db.transactions import transaction
from tests.conftest import HARBOUR
from tests.integration.cli.running import refusal, run
from tests.support.app_driver import AppDriver
from tests.support.shell import ec_key, public_pem, register

ADA = "ada@harbour.test"
INVITEE = "info@nordwind.test"
FILE = b"company_name,email\nNordwind Reisen,info@sued.test\n"
NO_ID = "00000000-0000-7000-8000-000000000000"
_PORTAL = ["--portal", "{portal}"]
_OLD_PORTAL = ["--id", "{portal}"]
_USER = ["--email", "{user}"]
_CLIENT = [*_PORTAL, "--email", "{client}"]
_PASSWORD = ["--password", "seven plain words for a test"]

COMMANDS = {
    "portal create": ["--name", "Beach Huts", "--id", "beach"],
    "portal list": [],
    "portal rename": [*_PORTAL, "--name", "Beach Huts"],
    "portal members": _PORTAL,
    "portal delete": [*_PORTAL, "--yes"],
    "portal mail-server": [*_PORTAL, "--host", "mail.example.com", "--sender", "h@example.com"],
    "portal allow-origin": [*_OLD_PORTAL, "https://shell.example.com"],
    "portal forbid-origin": [*_OLD_PORTAL, "https://shell.example.com"],
    "user create": ["--email", "nora@harbour.test", "--name", "Nora Wind", *_PASSWORD],
    "user list": [],
    "user disable": _USER,
    "user enable": _USER,
    "user set-password": [*_USER, *_PASSWORD],
    "user sessions-end": _USER,
    "user erase": [*_USER, "--yes", "--last-admin"],
    "user reset-second-factor": [*_USER, "--yes"],
    "user verified-by-portal": [],
    "user grant": [*_PORTAL, *_USER, "--role", "staff"],
    "user revoke": [*_PORTAL, *_USER, "--role", "client_admin"],
    "client list": _PORTAL,
    "client resend": _CLIENT,
    "client remove": [*_CLIENT, "--yes"],
    "client erase": [*_CLIENT, "--yes"],
    "import": ["-", *_PORTAL, "--by", "{user}"],
    "jobs run": ["{job}"],
    "outbox status": [],
    "outbox show": ["{id}"],
    "outbox retry": ["{id}"],
    "outbox release": [],
    "mail test": ["{user}"],
    "issuer add": ["--issuer", "https://shell.example.com", "--pem", "{pem}"],
    "issuer grant": ["--issuer", "{issuer}", *_PORTAL],
    "issuer revoke": ["--issuer", "{issuer}", *_PORTAL],
    "issuer remove": ["--issuer", "{issuer}"],
    "issuer list": [],
    "webhooks status": [],
    "webhooks show": ["{id}"],
    "webhooks retry": ["{id}"],
    "secrets status": [],
    "secrets reseal": [],
}
"""Every command that needs the database, with what it is told."""
OTHERS = {"jobs list", "bounces ingest", "check", "worker"}
"""What they do without a database is tested elsewhere. Flask's own are not ours."""
_FLASKS_OWN = {"db", "run", "shell", "routes"}
_NAMED = {"portal": HARBOUR, "user": ADA, "client": INVITEE, "id": NO_ID, "job": "prune"}
_WRONG = {"portal": "nowhere", "user": "nobody@harbour.test", "client": "nobody@nordwind.test", "job": "sleep"}


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., list[str]]:
    """Gives the words of a command, with the right names for what it is about, or with others."""
    pem = tmp_path / "key.pem"
    pem.write_text(public_pem(ec_key()))
    usual = _NAMED | {"pem": str(pem), "issuer": "https://other.example.com"}

    def words(command: str, **changes: str) -> list[str]:
        return [*command.split(), *(word.format(**usual | changes) for word in COMMANDS[command])]

    return words


def names_of(group: click.Group, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from names_of(command, f"{before}{name} ")
        else:
            yield before + name


def test_the_list_is_whole(app: Flask) -> None:
    ours = {name for name in names_of(app.cli) if name.split()[0] not in _FLASKS_OWN}
    assert ours == {*COMMANDS, *OTHERS}


@pytest.mark.both_databases
def test_a_wrong_id(app: Flask, app_driver: AppDriver, told: Callable[..., list[str]]) -> None:
    app_driver.invite(INVITEE)
    register(app, HARBOUR, issuer="https://other.example.com")
    before = app_driver.dump()
    for command, parts in COMMANDS.items():
        for name in {name for name in (*_WRONG, "issuer", "id") if any(f"{{{name}}}" in part for part in parts)}:
            if (command, name) == ("mail test", "user"):
                continue
            wrong = _WRONG | {"issuer": "https://nobody.example.com", "id": NO_ID}
            words = told(command, **{name: wrong[name]})
            # Before anybody is asked to confirm.
            for said in (words, [word for word in words if word != "--yes"]):
                line = refusal(app, *said, stdin=FILE)
                assert wrong[name] in line, command
                assert "--yes" not in line, command
    assert app_driver.dump() == before


@pytest.mark.both_databases
def test_twice(app: Flask, app_driver: AppDriver, told: Callable[..., list[str]]) -> None:
    app_driver.invite(INVITEE)
    changes = [
        *("portal create", "user create", "client remove", "client erase", "issuer add"),
        *("user disable", "user enable", "user revoke", "user erase", "portal delete"),
    ]
    for command in changes:
        assert run(app, *told(command)).exit_code == 0, command
        before = app_driver.dump()
        assert refusal(app, *told(command))
        assert app_driver.dump() == before, command


def test_wrong_usage(app: Flask, told: Callable[..., list[str]]) -> None:
    for command in COMMANDS:
        assert "--nothing" in refusal(app, *told(command), "--nothing", exit_code=2)
        if COMMANDS[command] and command not in {"outbox retry", "webhooks retry"}:
            assert "--help" in refusal(app, *command.split(), exit_code=2)
    assert "nothing" in refusal(app, "user", "nothing", exit_code=2)
    assert "nowhere" in refusal(app, "import", "/nowhere", "--portal", HARBOUR, "--by", ADA, exit_code=2)
    assert "UTF-8" in refusal(app, "portal", "rename", "--portal", "\udcff", "--name", "Beach Huts")
    assert "first second" in refusal(app, "portal", "members", "--portal", "first\nsecond")
    for figure in ("nan", "inf", "0", "1e-300"):
        words = [*told("portal mail-server"), "--per-second", figure]
        assert "--per-second" in refusal(app, *words, exit_code=2), figure


@pytest.mark.parametrize("url", ["sqlite:///{folder}/broken.sqlite3", "postgresql://127.0.0.1:1/nothing"])
def test_without_a_database(
    reconfigured: Callable[..., Flask], url: str, tmp_path: Path, told: Callable[..., list[str]]
) -> None:
    (tmp_path / "broken.sqlite3").write_bytes(b"no database at all" * 100)
    app = reconfigured(DATABASE_URL=url.format(folder=tmp_path))
    for command in COMMANDS:
        assert "database can't be used" in refusal(app, *told(command), stdin=FILE), command
    file = str(tmp_path / "backup")
    for words in (["upgrade"], ["downgrade"], ["current"], ["stamp", "head"], ["backup", file]):
        assert "database can't be used" in refusal(app, "db", *words), words


@pytest.mark.both_databases
def test_on_an_old_schema(app: Flask, app_driver: AppDriver, told: Callable[..., list[str]]) -> None:
    def set_revision(revision: str) -> str:
        with transaction() as session:
            newest = session.scalar(sql("SELECT version_num FROM alembic_version"))
            session.execute(sql("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
            return str(newest)

    app_driver.invite(INVITEE)
    newest = app_driver.do(set_revision, "0001")
    try:
        before = app_driver.dump()
        for command in COMMANDS:
            assert "db upgrade" in refusal(app, *told(command), stdin=FILE), command
        assert app_driver.dump() == before
    finally:
        app_driver.do(set_revision, newest)


@pytest.mark.both_databases
def test_flasks_own_commands_that_only_look(app: Flask) -> None:
    for word in ("current", "heads", "history", "check"):
        done = run(app, "db", word)
        assert done.exit_code == 0, done.output
