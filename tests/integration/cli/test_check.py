"""`flask check`: a line for each thing that an installation needs, and 1 at the end if one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import inspect
from sqlalchemy import text as sql

from app.cli.check_mail import bounce_address
from app.cli.check_proxies import proxy_headers
from app.core.checks import CheckResult
from app.db.transactions import transaction
from app.extensions import db
from app.models import TlsMode
from app.outbox.server_settings import OwnServer, save_own_server
from config import load_settings
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.databases import PostgresqlDatabases, dump
from tests.support.dns import DnsServer
from tests.support.imap import ImapServer
from tests.support.live import LiveServer
from tests.support.scripted_smtp import Reply, ScriptedSmtp
from tests.support.smtp import MailServer

NAMES = [
    *("settings", "database", "schema", "clock", "keys", "sending"),
    *("mail server", "sender", "bounce address", "bounce mailbox", "base URL"),
    *("passkeys", "proxy headers"),
]
PASSWORD = "a secret of the relay"
DOMAIN = "harbour.test"


ZONE = {
    DOMAIN: {"TXT": ["v=spf1 ip4:203.0.114.7 -all"], "MX": ["10 mail.harbour.test."]},
    f"_dmarc.{DOMAIN}": {"TXT": ["v=DMARC1; p=none"]},
}


@pytest.fixture(scope="module")
def dns_server() -> Iterator[DnsServer]:
    """At one address, so that the tests share the applications that ask it."""
    with DnsServer() as server:
        yield server


@pytest.fixture
def dns(dns_server: DnsServer) -> DnsServer:
    dns_server.zone = dict(ZONE)
    dns_server.failing.clear()
    return dns_server


@pytest.fixture
def environment(environment: dict[str, str], dns: DnsServer) -> dict[str, str]:
    return environment | {"DNS_RESOLVERS": dns.setting}


def lines_of(app: Flask, exit_code: int = 0) -> dict[str, tuple[str, str]]:
    """What `check` prints: level and sentence, by name."""
    done = app.test_cli_runner().invoke(args=["check"])
    assert done.exit_code == exit_code, done.output
    cells = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for _level, name, _sentence in cells] == NAMES
    return {name: (level, sentence) for level, name, sentence in cells}


@pytest.mark.both_databases
def test_each_thing_has_a_line_and_nothing_is_changed_or_sent(app: Flask, mail_server: MailServer) -> None:
    with app.app_context():
        before = dump()
    found = lines_of(app)
    assert {name: level for name, (level, _sentence) in found.items() if level != "ok"} == {
        "base URL": "warn",
        "passkeys": "warn",
        "proxy headers": "warn",
    }
    assert found["mail server"] == ("ok", f"Connected to {mail_server.host}:{mail_server.port}.")
    assert "not https" in found["base URL"][1]
    with app.app_context():
        assert dump() == before
    assert mail_server.mails == []


def test_a_mail_server_that_is_away_fails(with_settings: Callable[..., Flask]) -> None:
    level, sentence = lines_of(with_settings(MAIL_PORT="1"), 1)["mail server"]
    assert level == "FAIL"
    assert "nothing is listening on this port" in sentence


def test_no_mail_server_is_a_warning(with_settings: Callable[..., Flask]) -> None:
    found = lines_of(with_settings(MAIL_SERVER=None, MAIL_PORT=None))
    assert (found["mail server"][0], found["sender"][0]) == ("warn", "ok")


def test_it_signs_in_and_prints_no_password(reconfigured: Callable[..., Flask]) -> None:
    account = {"MAIL_USERNAME": "harbour", "MAIL_PASSWORD": PASSWORD}
    with ScriptedSmtp(offer_auth=True) as server:
        found = lines_of(reconfigured(MAIL_PORT=str(server.port), **account))
        assert found["mail server"][1].endswith("and signed in.")
        server.script["auth"] = Reply("535 5.7.8 wrong password")
        found = lines_of(reconfigured(MAIL_PORT=str(server.port), **account), 1)
        assert found["mail server"][0] == "FAIL"
        assert "535" in found["mail server"][1]
        assert PASSWORD not in str(found)
        assert server.mails == []


def test_a_sender_whose_records_are_wrong_is_a_warning(app: Flask, dns: DnsServer) -> None:
    dns.zone[DOMAIN] = {"TXT": ["v=spf1 mx -all", "v=spf1 a -all"]}
    level, sentence = lines_of(app)["sender"]
    assert level == "warn"
    assert "SPF: harbour.test has 2 SPF records" in sentence
    assert "MX: There is no MX record" in sentence
    assert "DMARC" not in sentence
    assert "DKIM" not in sentence


def test_a_sender_that_cannot_be_looked_up_is_a_warning(app: Flask, dns: DnsServer) -> None:
    dns.failing.add("*")
    level, sentence = lines_of(app)["sender"]
    assert level == "warn"
    assert sentence.startswith("SPF, DMARC, MX: Could not look it up")


@pytest.mark.both_databases
def test_an_older_schema_fails(app_driver: AppDriver, app: Flask) -> None:
    def set_revision(revision: str) -> None:
        with transaction() as session:
            session.execute(sql("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})

    newest = app_driver.do(lambda: current_revision())
    app_driver.do(set_revision, "0001")
    try:
        assert lines_of(app, 1)["schema"][0] == "FAIL"
    finally:
        app_driver.do(set_revision, newest)


def current_revision() -> str:
    with transaction() as session:
        return str(session.scalar(sql("SELECT version_num FROM alembic_version")))


def test_keys_that_are_former_weak_or_missing(app_driver: AppDriver, with_settings: Callable[..., Flask]) -> None:
    server = OwnServer("127.0.0.1", 25, TlsMode.NONE, "Harbour <h@harbour.test>", "harbour", PASSWORD)
    app_driver.do(save_own_server, HARBOUR, server)
    old, new = "a key for tests and nothing else", "the key of the next year for tests"
    level, sentence = lines_of(with_settings(SECRET_KEY=new, SECRET_KEY_FALLBACKS=old))["keys"]
    assert level == "warn"
    assert "secrets reseal" in sentence
    level, sentence = lines_of(with_settings(SECRET_KEY=new), 1)["keys"]
    assert level == "FAIL"
    assert "secrets status" in sentence
    found = lines_of(with_settings(SECRET_KEY_FALLBACKS="ab" * 20))
    assert found["keys"] == (
        "warn",
        "Key 1 of SECRET_KEY_FALLBACKS can be guessed, so links can be forged. Remove it.",
    )


def test_a_database_that_is_away_fails_and_the_rest_is_checked(
    reconfigured: Callable[..., Flask], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.sqlite3"
    broken.write_bytes(b"no database at all" * 100)
    found = lines_of(reconfigured(DATABASE_URL=f"sqlite:///{broken}"), 1)
    assert found["database"][0] == "FAIL"
    assert "not a database" in found["database"][1]
    assert found["mail server"][0] == "ok"


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_name_is_not_used(
    reconfigured: Callable[..., Flask], postgresql_databases: PostgresqlDatabases, encoding: str
) -> None:
    app = reconfigured(DATABASE_URL=postgresql_databases.of_encoding(encoding, "encoded"))
    level, sentence = lines_of(app, 1)["database"]
    assert level == "FAIL"
    assert sentence.startswith(f"The database's encoding is {encoding}, ")
    upgrade = app.test_cli_runner().invoke(args=["db", "upgrade"])
    assert upgrade.exit_code == 1
    assert sentence in upgrade.stderr
    with app.app_context():
        assert inspect(db.engine).get_table_names() == []


@pytest.mark.parametrize(
    "url, said",
    [
        ("http://localhost:8000", "this machine only"),
        ("https://nowhere.invalid", "cannot be reached from here"),
    ],
)
def test_a_base_url_that_does_not_lead_here_is_a_warning(
    with_settings: Callable[..., Flask], url: str, said: str
) -> None:
    level, sentence = lines_of(with_settings(PUBLIC_BASE_URL=url))["base URL"]
    assert level == "warn"
    assert said in sentence


def test_bounces_go_to_the_senders_organisation(
    reconfigured: Callable[..., Flask], environment: dict[str, str]
) -> None:
    app = reconfigured()
    for address, level in {
        "bounces@mail.harbour.co.uk": "ok",
        "bounces@harbour.co.uk": "ok",
        "bounces@relay.co.uk": "warn",
        "": "ok",
    }.items():
        changes = {"MAIL_DEFAULT_SENDER": "Clients <no-reply@harbour.co.uk>", "MAIL_BOUNCE_ADDRESS": address}
        app.config["SETTINGS"] = load_settings(environment | changes)
        with app.app_context():
            assert bounce_address().level == level, address


def test_a_bounce_mailbox_that_is_away_fails(reconfigured: Callable[..., Flask]) -> None:
    with ImapServer() as imap:
        address = f"imap://reports:a%20word@127.0.0.1:{imap.port}/INBOX"
        with_mailbox = reconfigured(BOUNCE_MAILBOX_URL=address)
        assert lines_of(with_mailbox)["bounce mailbox"] == ("ok", "It can be opened.")
    level, sentence = lines_of(with_mailbox, 1)["bounce mailbox"]
    assert level == "FAIL"
    assert "a word" not in sentence


APPENDS, REPLACES, PASSES_ON = "appends", "replaces", "passes on"


@contextmanager
def behind(app: Flask, server: LiveServer, proxies: Sequence[str], prefix: str = "") -> Iterator[None]:
    """Serve the application at an address behind proxies that treat X-Forwarded-For in these ways."""

    def through_proxies(environ: dict[str, Any], start_response: Any) -> Any:
        header = "HTTP_X_FORWARDED_FOR"
        for proxy in proxies:
            before = environ.get(header) if proxy != REPLACES else None
            if proxy != PASSES_ON:
                environ[header] = ", ".join([*([before] if before else []), "127.0.0.1"])
        if prefix:
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix)
            environ["HTTP_X_FORWARDED_PREFIX"] = prefix
        return app(environ, start_response)

    server.start(through_proxies)  # type: ignore[arg-type]
    try:
        yield
    finally:
        server.stop()


def said_of_proxies(app: Flask) -> CheckResult:
    with app.app_context():
        return proxy_headers()


TOLD_OF_PROXIES = {
    0: [
        ((), "ok", "is 0"),
        ((APPENDS,), "warn", "everyone seems to come from one address"),
    ],
    1: [
        ((APPENDS,), "ok", "is 1"),
        ((REPLACES,), "ok", "is 1"),
        ((APPENDS, APPENDS), "warn", "Set it to 2"),
        ((PASSES_ON,), "warn", "can make up an address"),
    ],
    2: [
        ((REPLACES, APPENDS), "ok", "is 2"),
        ((REPLACES,), "warn", "Set it to 1"),
    ],
}


@pytest.mark.parametrize("trusted", TOLD_OF_PROXIES)
def test_the_proxies_that_are_trusted_are_those_that_add_an_address(
    reconfigured: Callable[..., Flask], trusted: int
) -> None:
    server = LiveServer()
    app = reconfigured(PUBLIC_BASE_URL=server.url, TRUSTED_PROXIES=str(trusted))
    there: list[str] = []
    with behind(app, server, there):
        for proxies, level, said in TOLD_OF_PROXIES[trusted]:
            there[:] = proxies
            result = said_of_proxies(app)
            assert (result.level, said in result.sentence) == (level, True), (proxies, result.sentence)


def test_a_proxy_that_shows_us_below_a_path_says_so(reconfigured: Callable[..., Flask]) -> None:
    server = LiveServer()
    app = reconfigured(PUBLIC_BASE_URL=f"{server.url}/clients", TRUSTED_PROXIES="1")
    with behind(app, server, [APPENDS], prefix="/clients"):
        assert said_of_proxies(app).level == "ok"


def test_only_who_has_the_key_is_told_of_the_proxies(app: Flask, reconfigured: Callable[..., Flask]) -> None:
    server = LiveServer()
    other = reconfigured(PUBLIC_BASE_URL=server.url, SECRET_KEY="quite another key, for this very test")
    with behind(app, server, []):
        assert "another SECRET_KEY" in said_of_proxies(other).sentence
    assert app.test_client().get("/healthz").json == {"status": "ok"}
