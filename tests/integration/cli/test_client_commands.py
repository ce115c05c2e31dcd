"""`flask client ...` and `flask import`: what admins do to clients, done by an operator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import delete

from app.db.transactions import transaction
from app.models import EventKind, Role, User
from app.portals.service import revoke_role
from app.queue import sending
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.cli.running import logged, records, refusal, rows, run
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.factories import PASSWORD
from tests.support.smtp import MailServer

ADA = "ada@harbour.test"
INVITEE = "info@nordwind.test"
OF_INVITEE = ["--portal", HARBOUR, "--email", INVITEE]
GOOD = b"company_name,email\nNordwind Reisen,info@nordwind.test\nS\xc3\xbcd,info@sued.test\n"


def join(app: Flask, app_driver: AppDriver) -> None:
    """Olaf accepts an invitation of Harbour Tours."""
    olaf = Browser(app)
    olaf.sign_in("olaf@alpine.test", PASSWORD)
    assert olaf.post(app_driver.link(app_driver.invite("olaf@alpine.test"))).status_code == 303


def test_clients_are_listed_page_after_page(app: Flask, app_driver: AppDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.client._BATCH", 2)
    for name in "abcde":
        app_driver.invite(f"{name}@client.test")
    join(app, app_driver)
    command = ["client", "list", "--portal", HARBOUR]
    found = rows(app, *command)
    assert [line[0] for line in found] == ["olaf@alpine.test", *(f"{name}@client.test" for name in "edcba")]
    assert [line[:4] for line in found[:2]] == [
        ["olaf@alpine.test", "Nordwind Reisen", "joined", "joined"],
        ["e@client.test", "Nordwind Reisen", "invite_sent", "queued"],
    ]
    (joined,) = records(app, *command, "--status", "joined")
    assert joined["id"] == str(app_driver.client("olaf@alpine.test").id)
    assert joined["joined"].endswith("Z")
    assert rows(app, "client", "list", "--portal", ALPINE) == []
    assert records(app, "client", "list", "--portal", ALPINE) == []


def test_a_resend_is_in_the_name_of_who_invited_or_of_another_admin(
    app: Flask, app_driver: AppDriver, nobody: Browser, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    old = app_driver.link(client_id)
    assert logged(app, "client", "resend", *OF_INVITEE)["client"] == str(client_id)
    assert nobody.get(old).status_code == 410
    assert run(app, "client", "resend", *OF_INVITEE).exit_code == 0  # a second press: no second mail
    outbox.flush()
    (mail,) = mail_server.to(INVITEE)
    assert ADA in mail.message["Reply-To"]
    assert (EventKind.RESENT, None) in app_driver.events(client_id)
    assert logged(app, "client", "resend", *OF_INVITEE, "--by", ADA)
    assert (EventKind.RESENT, ADA) in app_driver.events(client_id)
    for other in ("sam@harbour.test", "olaf@alpine.test"):
        assert "client admin" in refusal(app, "client", "resend", *OF_INVITEE, "--by", other)
    nobody.post(f"{app_driver.link(client_id, 3)}/decline")
    app_driver.let_presses_pass()
    assert "--anyway" in refusal(app, "client", "resend", *OF_INVITEE)
    assert logged(app, "client", "resend", *OF_INVITEE, "--anyway")


def test_nobody_invites_in_the_name_of_an_account_that_is_gone(app: Flask, app_driver: AppDriver) -> None:
    app_driver.invite(INVITEE)

    def forget_ada() -> None:
        revoke_role(HARBOUR, ADA, Role.CLIENT_ADMIN)
        with transaction() as session:
            session.execute(delete(User).where(User.email == ADA))

    app_driver.do(forget_ada)
    assert "Say who invites" in refusal(app, "client", "resend", *OF_INVITEE)


def test_a_client_is_removed_only_with_yes_and_only_while_pending(
    app: Flask, app_driver: AppDriver, nobody: Browser
) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    before = app_driver.dump()
    told = refusal(app, "client", "remove", *OF_INVITEE)
    assert "Nordwind Reisen (info@nordwind.test)" in told
    assert "--yes" in told
    assert app_driver.dump() == before
    assert logged(app, "client", "remove", *OF_INVITEE, "--yes")["portal"] == HARBOUR
    assert nobody.get(link).status_code == 410
    assert "no client with the address" in refusal(app, "client", "remove", *OF_INVITEE, "--yes")
    join(app, app_driver)
    of_olaf = ["--portal", HARBOUR, "--email", "olaf@alpine.test"]
    for command in (["remove", *of_olaf, "--yes"], ["resend", *of_olaf]):
        assert "has joined" in refusal(app, "client", *command)


@pytest.mark.both_databases
def test_a_file_is_imported_whole_or_not_at_all(app: Flask, app_driver: AppDriver, tmp_path: Path) -> None:
    path = tmp_path / "clients.csv"
    command = ["import", str(path), "--portal", HARBOUR, "--by", ADA]
    path.write_bytes(GOOD)
    done = run(app, *command)
    assert (done.exit_code, done.stdout) == (0, "2 imported\n")
    assert json.loads(done.stderr)["clients"] == 2
    assert app_driver.clients() == [(HARBOUR, email, "invite_sent") for email in (INVITEE, "info@sued.test")]
    (event, *_) = app_driver.events(app_driver.client(INVITEE).id)
    assert event == (EventKind.INVITED, ADA)

    path.write_bytes(GOOD + b",new@sued.test\n")
    before = app_driver.dump()
    refused = run(app, *command)
    assert (refused.exit_code, refused.stderr) == (1, "Error: Nothing was imported: the file has 3 errors.\n")
    cells = [line.split("\t")[:2] for line in refused.stdout.splitlines()]
    assert cells == [["2", "email"], ["3", "email"], ["4", "company_name"]]
    refused = run(app, *command, "--json")
    assert refused.exit_code == 1
    told = json.loads(refused.stdout)
    assert told["imported"] == 0
    assert [error["code"] for error in told["errors"]] == [*["email_duplicate_in_table"] * 2, "name_missing"]
    path.write_bytes(GOOD)
    assert run(app, *command).exit_code == 1
    assert app_driver.dump() == before


def test_a_file_comes_from_standard_input_and_must_be_a_list(app: Flask, app_driver: AppDriver) -> None:
    command = ["import", "-", "--portal", HARBOUR, "--by", ADA]
    done = run(app, *command, "--json", stdin=GOOD)
    assert json.loads(done.stdout) == {"imported": 2, "errors": []}
    for data, code in ((b"", "file_empty"), (b"x" * (3 * 1024 * 1024 + 1), "file_too_large")):
        refused = run(app, *command, "--json", stdin=data)
        assert [error["code"] for error in json.loads(refused.stdout)["errors"]] == [code]
    assert len(app_driver.clients()) == 2


def test_what_stands_in_a_file_commands_no_terminal(app: Flask) -> None:
    refused = run(app, "import", "-", "--portal", HARBOUR, "--by", ADA, stdin=b"company_name,\x1b[2J\x9b\n")
    assert refused.exit_code == 1
    assert "\x1b" not in refused.output


def test_only_a_client_admin_who_can_sign_in_invites(app: Flask, app_driver: AppDriver) -> None:
    command = ["import", "-", "--portal", HARBOUR, "--by"]
    run(app, "user", "disable", "--email", ADA)
    for email in (ADA, "sam@harbour.test", "carla@client.test", "olaf@alpine.test"):
        assert "client admin" in refusal(app, *command, email, stdin=GOOD)
    assert app_driver.clients() == []


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("on", []),
        ("off", ["Nothing is sent: SENDING is off."]),
        ("held", ["Nothing is sent: this database was restored or copied."]),
    ],
)
def test_who_invites_while_nothing_is_sent_is_told(
    app_driver: AppDriver, with_settings: Callable[..., Flask], tmp_path: Path, state: str, says: list[str]
) -> None:
    (tmp_path / "clients.csv").write_bytes(GOOD)
    other = with_settings(SENDING="off" if state == "off" else "on")

    def told(*words: str) -> list[str]:
        done = run(other, *words)
        assert done.exit_code == 0, done.output
        lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        return [f"{line.partition('. ')[0].removesuffix('.')}." for line in lines]

    def hold(is_held: bool) -> None:
        with transaction() as session:
            if is_held:
                sending.hold(session.connection(), since=None)
            else:
                sending.release(session.connection())

    app_driver.do(hold, state == "held")
    try:
        assert told("import", str(tmp_path / "clients.csv"), "--portal", HARBOUR, "--by", ADA) == says
        assert told("client", "resend", *OF_INVITEE) == says
    finally:
        app_driver.do(hold, False)
