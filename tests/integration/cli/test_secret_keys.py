"""Changing SECRET_KEY: weak keys are refused, and the documented way from one key to the next loses nothing."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import event, select

from app import create_app
from app.accounts.users import SESSION_LIFETIME
from app.core.encryption import DecryptionFailed, decrypt, encrypt
from app.db.encrypted_columns import reseal
from app.db.transactions import transaction
from app.extensions import db
from app.models import PortalMailServer, Role, TlsMode, TotpKey, User, WebhookEndpoint
from app.outbox.queue import GIVE_UP_AFTER_ATTEMPTS
from app.outbox.server_settings import OwnServer, save_own_server
from app.webhooks.endpoints import EVENTS, add_endpoint, rotate_secret
from config import ROOT, Timings, load_settings
from tests.conftest import HARBOUR
from tests.integration.accounts.phone import Phone, give, password_only
from tests.support import smtp
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, words
from tests.support.databases import SqliteDatabases
from tests.support.factories import PASSWORD, make_member, make_portal
from tests.support.http_browser import HttpBrowser
from tests.support.processes import FLASK, Deployment, Process, wait_until

ADA, SAM = "ada@harbour.test", "sam@harbour.test"
OLD = "a key for tests and nothing else"
NEW = "the key of the next year for tests"
NEWEST = "the key of the year after that one"
RELAY_PASSWORD = "a secret of the relay"
PHONE = Phone("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
URL = "https://hooks.nordwind.test/told"


@pytest.fixture
def encrypted(app_driver: AppDriver) -> str:
    """A mail server's password, a webhook's secret and the key of an app, encrypted with the old key; the secret."""
    server = OwnServer("127.0.0.1", 25, TlsMode.NONE, "Harbour <h@harbour.test>", "harbour", RELAY_PASSWORD)
    app_driver.do(save_own_server, HARBOUR, server)
    app_driver.do(add_app)
    return str(app_driver.do(add_endpoint, HARBOUR, URL, "", EVENTS))


def add_app() -> None:
    """Give Sam the authenticator app `PHONE`."""
    with transaction() as session:
        user_id = session.scalars(select(User.id).where(User.email == SAM)).one()
        session.add(TotpKey(user_id=user_id, encrypted_key=encrypt(PHONE.key), last_step=1))


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["secrets", *words])


def counts(app: Flask) -> dict[tuple[str, str], int]:
    """What `secrets status` prints: how many secrets of a kind a key opens."""
    done = run(app, "status")
    assert done.exit_code == 0
    lines = [re.split(r"\s{2,}", line) for line in done.stdout.splitlines()]
    assert lines[0] == ["KIND", "KEY", "SECRETS"]
    return {(kind, key): int(number) for kind, key, number in lines[1:]}


def opened(app: Flask) -> tuple[str, str]:
    """The password and the secret as this process reads them."""

    def read() -> tuple[str, str]:
        password = db.session.get_one(PortalMailServer, HARBOUR).encrypted_password
        return decrypt(password or ""), decrypt(endpoint().encrypted_secret)

    found: tuple[str, str] = AppDriver(app).do(read)
    return found


def endpoint() -> WebhookEndpoint:
    return db.session.scalars(select(WebhookEndpoint)).one()


def rotate() -> str:
    return rotate_secret(HARBOUR, endpoint().id, 1)


def test_status_counts_what_each_key_opens_and_shows_neither_key_nor_secret(
    encrypted: str, app: Flask, with_settings: Callable[..., Flask]
) -> None:
    newer = with_settings(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=f"{NEWEST},{OLD}")
    assert counts(app) == {
        ("mail passwords", "SECRET_KEY"): 1,
        ("mail passwords", "unreadable"): 0,
        ("webhook secrets", "SECRET_KEY"): 1,
        ("webhook secrets", "unreadable"): 0,
        ("TOTP keys", "SECRET_KEY"): 1,
        ("TOTP keys", "unreadable"): 0,
    }
    assert counts(newer) == {
        (kind, key): number
        for kind in ("mail passwords", "webhook secrets", "TOTP keys")
        for key, number in {
            "SECRET_KEY": 0,
            "SECRET_KEY_FALLBACKS, number 1": 0,
            "SECRET_KEY_FALLBACKS, number 2": 1,
            "unreadable": 0,
        }.items()
    }
    for secret in (OLD, NEW, NEWEST, RELAY_PASSWORD, PHONE.key, encrypted):
        assert secret not in run(newer, "status").output


def test_reseal_moves_everything_to_the_newest_key_and_a_second_time_nothing(
    encrypted: str, app_driver: AppDriver, with_settings: Callable[..., Flask]
) -> None:
    # Rolled just now, so that the former secret signs as well.
    rotated = app_driver.do(rotate)
    newer = with_settings(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=OLD)
    assert run(newer, "reseal").output == "4 resealed\n"
    assert run(newer, "reseal").output == "0 resealed\n"
    without = with_settings(SECRET_KEY=NEW)
    assert opened(without) == (RELAY_PASSWORD, rotated)
    assert give(password_only(without, SAM), PHONE.code()).status_code == 303
    former = AppDriver(without).do(lambda: decrypt(endpoint().former_encrypted_secret or ""))
    assert former == encrypted
    with pytest.raises(DecryptionFailed):
        opened(app_driver.app)


def test_what_no_key_opens_is_left_and_counted_and_reseal_says_what_to_do(
    encrypted: str, app: Flask, with_settings: Callable[..., Flask]
) -> None:
    lost = with_settings(SECRET_KEY=NEW)
    for _time in range(2):
        done = run(lost, "reseal")
        assert (done.exit_code, done.stdout) == (1, "0 resealed\n")
        (line,) = done.stderr.splitlines()
        assert "1 mail passwords and 1 webhook secrets and 1 TOTP keys" in line
        assert "SECRET_KEY_FALLBACKS" in line
    assert counts(lost)["mail passwords", "unreadable"] == counts(lost)["webhook secrets", "unreadable"] == 1
    assert opened(app) == (RELAY_PASSWORD, encrypted)


def test_what_is_saved_while_it_is_resealed_stays_saved(
    encrypted: str, app: Flask, with_settings: Callable[..., Flask], reconfigured: Callable[..., Flask]
) -> None:
    newer = reconfigured(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=OLD)
    admins = AppDriver(reconfigured(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=OLD))
    server = OwnServer("127.0.0.1", 25, TlsMode.NONE, "Harbour <h@harbour.test>", "harbour", "typed in between")
    with newer.app_context():

        @event.listens_for(db.engine, "after_cursor_execute")
        def save_in_between(_connection: Any, _cursor: Any, statement: str, *_more: object) -> None:
            if statement.startswith("SELECT portal_mail_server"):
                admins.do(save_own_server, HARBOUR, server)

        assert reseal() == 2
    assert opened(with_settings(SECRET_KEY=NEW)) == ("typed in between", encrypted)


def test_a_lost_key_is_told_where_it_can_be_mended_and_rotating_leaves_nothing_unreadable(
    encrypted: str, with_settings: Callable[..., Flask]
) -> None:
    lost = with_settings(SECRET_KEY=NEW)
    admin = Browser(lost)
    admin.sign_in(ADA, PASSWORD)
    mail_page = words(parse(admin.get(f"/portals/{HARBOUR}/settings/email")))
    assert "can't be read" in mail_page
    assert "Enter it again" in mail_page
    assert "can't be read" in words(parse(admin.get(f"/portals/{HARBOUR}/settings/webhooks")))
    AppDriver(lost).do(rotate)
    assert "can't be read" not in words(parse(admin.get(f"/portals/{HARBOUR}/settings/webhooks")))
    assert counts(lost)["webhook secrets", "unreadable"] == 0


# The document


def steps() -> list[str]:
    """The numbered steps of docs/operations.md, "Changing the secret key"."""
    text = (ROOT / "docs" / "operations.md").read_text()
    (section,) = re.findall(r"^## Changing the secret key\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\d\. (.*?)(?=^\d\. |^\| )", section, re.MULTILINE | re.DOTALL)


def commands(step: str) -> list[str]:
    (block,) = re.findall(r"```sh\n(.*?)```", step, re.DOTALL)
    return [line.strip() for line in block.splitlines() if line.strip()]


def settings_of(step: str, **values: str) -> dict[str, str]:
    """The settings that a step names, with what stands for a key put in."""
    lines = dict(line.split("=", 1) for line in commands(step))
    return {name: values.get(value.strip("<>").replace(" ", "_"), value) for name, value in lines.items()}


@pytest.fixture
def deployment(sqlite_databases: SqliteDatabases, tmp_path: Path) -> Iterator[Deployment]:
    database_url = sqlite_databases.copy(tmp_path, "keys")
    controller, mailboxes = smtp.start()
    deployment = Deployment(tmp_path, database_url, mailboxes)
    deployment.app_driver.do(make_portal, HARBOUR, "Harbour Tours")
    deployment.app_driver.do(make_member, HARBOUR, ADA, "Ada Berg", Role.CLIENT_ADMIN)
    yield deployment
    deployment.app_driver.do(lambda: db.engine.dispose())
    deployment.close()
    controller.stop(no_assert=True)


def test_the_documented_change_of_the_key_loses_nothing(deployment: Deployment) -> None:
    make_key, configure, encrypt_anew, wait, take_away = steps()
    mail_server = ("--host", "127.0.0.1", "--tls", "none", "--sender", "h@harbour.test", "--username", "harbour")
    deployment.flask(
        *("portal", "mail-server", "--id", HARBOUR, *mail_server, "--password-stdin"), typed=RELAY_PASSWORD
    )
    secret = deployment.app_driver.do(add_endpoint, HARBOUR, URL, "", EVENTS)
    link = deployment.app_driver.link(deployment.app_driver.invite("info@nordwind.test"))
    admin = HttpBrowser(deployment.url)
    home = f"/portals/{HARBOUR}/settings/email"
    with deployment.web():
        admin.open("/login")
        admin.press("Sign in", email=ADA, password=PASSWORD)

    (command,) = commands(make_key)
    new = subprocess.run(shlex.split(command), check=True, capture_output=True, text=True).stdout.strip()
    deployment.settings |= settings_of(configure, the_new_key=new, the_old_key=OLD)
    assert deployment.settings["SECRET_KEY_FALLBACKS"] == OLD
    with deployment.web():
        assert admin.open(home).status == admin.open(link).status == 200
        with deployment.worker() as worker:
            wait_until(lambda: "2 secrets need a key of SECRET_KEY_FALLBACKS" in worker.said, "the worker warns")
        wait_until(
            lambda: deployment.logs.count("secrets need a key") == 3, "two web processes and the worker warn once"
        )

        said = [
            deployment.flask(*command.removeprefix("flask --app wsgi ").split()) for command in commands(encrypt_anew)
        ]
        assert said[0] == "2 resealed\n"
        lines = [re.split(r"\s{2,}", line) for line in said[1].splitlines()[1:]]
        assert {key: number for _kind, key, number in lines if number != "0"} == {"SECRET_KEY": "1"}
        assert admin.open(home).status == admin.open(link).status == 200

    (days,) = map(int, re.findall(r"Wait (\d+) days", wait))
    still_repeated = sum(Timings().retry_pause(n) for n in range(1, GIVE_UP_AFTER_ATTEMPTS)) * 0.8
    assert timedelta(days=days) > SESSION_LIFETIME + timedelta(seconds=still_repeated)

    deployment.settings |= settings_of(take_away)
    assert not deployment.settings["SECRET_KEY_FALLBACKS"]
    with deployment.web():
        assert admin.open(link).status == 404
        # She has been here since the restart, so the new key has signed her session.
        assert admin.open(home).url == f"{deployment.url}{home}"
    assert "cannot be read" not in deployment.logs
    renewed = create_app(load_settings(deployment.settings))
    assert opened(renewed) == (RELAY_PASSWORD, secret)
    AppDriver(renewed).do(lambda: db.engine.dispose())


@pytest.mark.parametrize("command", [[*FLASK, "secrets", "status"], [*FLASK, "worker"]])
def test_a_weak_key_stops_the_start_with_the_way_out(tmp_path: Path, command: list[str]) -> None:
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/never-made.sqlite3", "SECRET_KEY": "a" * 32}
    process = Process(command, settings, tmp_path / "log")
    assert process.exit_code(30) == 3
    (only,) = process.said.splitlines()
    assert only.startswith("Cannot start: SECRET_KEY ")
    for said in ("secrets.token_urlsafe(48)", "SECRET_KEY_FALLBACKS", "flask --app wsgi secrets reseal"):
        assert said in only


def test_a_weak_former_key_is_kept_and_warned_of(deployment: Deployment) -> None:
    with deployment.worker(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS="short") as worker:
        wait_until(lambda: "key 1 of SECRET_KEY_FALLBACKS is too short" in worker.said, "it is warned of")
