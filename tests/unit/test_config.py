"""What an operator sets and commands: wrong settings stop the start with one line, and so do wrong commands."""

from __future__ import annotations

import os
import re
import secrets
from ipaddress import ip_network
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from click.testing import Result
from flask import Flask

import config
from config import ConfigError, Settings, Timings, load_settings
from config_values import key_weakness
from tests.conftest import ALPINE, HARBOUR
from tests.support import child_process
from tests.support.browser import Browser, ic
from tests.support.databases import dump
from tests.support.factories import OTHER_PASSWORD, PASSWORD

MINIMUM = {"SECRET_KEY": "a key of at least 32 characters here", "DATABASE_URL": "sqlite:///clients.sqlite3"}


def settings_of(**values: str) -> Settings:
    return load_settings(MINIMUM | values)


# --- settings ------------------------------------------------------------------------------------


def test_two_settings_are_enough() -> None:
    settings = settings_of()
    assert settings.invitation_ttl_seconds == 604_800
    assert settings.outbox_interval_seconds == 1
    assert settings.outbox_connections == 4
    assert settings.port == 8000
    assert settings.trusted_proxies == 0
    assert settings.keep_sent_mails_days == 90
    assert settings.metrics_token is None
    assert settings.log_format == "json"
    assert settings.scheduler == "off"
    assert settings.mail is None
    assert settings.mail_allowed_networks == ()
    assert settings.public_base_url == "http://localhost:8000"
    assert not settings.is_https


def test_every_setting_is_read() -> None:
    settings = settings_of(
        DATABASE_URL="postgresql://ada:secret@db.test/clients",
        SECRET_KEY_FALLBACKS="an older key, the oldest key",
        PUBLIC_BASE_URL="https://clients.test/",
        MAIL_SERVER="smtp.test",
        MAIL_PORT="587",
        MAIL_USE_TLS="true",
        MAIL_USE_SSL="off",
        MAIL_USERNAME="ada",
        MAIL_PASSWORD="secret",
        MAIL_DEFAULT_SENDER="Clients <no-reply@clients.test>",
        MAIL_BOUNCE_ADDRESS="bounces@mail.test",
        BOUNCE_MAILBOX_URL="imaps://bounces%40mail.test:secret%2Fpart@imap.test/Reports",
        MAIL_ALLOWED_NETWORKS="10.20.0.0/16, fd00::/8",
        WEBHOOK_ALLOWED_NETWORKS="10.30.0.0/16",
        DNS_RESOLVERS="10.0.0.53, 127.0.0.1:5353, fd00::53, [fd00::54]:54",
        INVITATION_TTL_SECONDS="60",
        OUTBOX_INTERVAL_SECONDS="0.5",
        OUTBOX_CONNECTIONS="16",
        SENDING="off",
        SCHEDULER="embedded",
        PORT="9000",
        TRUSTED_PROXIES="2",
        KEEP_SENT_MAILS_DAYS="30",
        KEEP_INVITATIONS_DAYS="60",
        KEEP_HISTORY_MONTHS="24",
        KEEP_AUDIT_DAYS="400",
        METRICS_TOKEN="a-secret-for-figures",
        LOG_FORMAT="console",
    )
    assert settings == Settings(
        database_url="postgresql+psycopg://ada:secret@db.test/clients",
        secret_key=MINIMUM["SECRET_KEY"],
        secret_key_fallbacks=("an older key", "the oldest key"),
        public_base_url="https://clients.test",
        mail=config.MailSettings("smtp.test", 587, use_tls=True, use_ssl=False, username="ada", password="secret"),
        mail_default_sender="Clients <no-reply@clients.test>",
        mail_bounce_address="bounces@mail.test",
        bounce_mailbox=config.BounceMailbox("imap.test", 993, True, "bounces@mail.test", "secret/part", "Reports"),
        mail_allowed_networks=(ip_network("10.20.0.0/16"), ip_network("fd00::/8")),
        webhook_allowed_networks=(ip_network("10.30.0.0/16"),),
        dns_resolvers=(("10.0.0.53", 53), ("127.0.0.1", 5353), ("fd00::53", 53), ("fd00::54", 54)),
        invitation_ttl_seconds=60,
        outbox_interval_seconds=0.5,
        outbox_connections=16,
        sending=False,
        scheduler="embedded",
        port=9000,
        trusted_proxies=2,
        keep_sent_mails_days=30,
        keep_invitations_days=60,
        keep_history_months=24,
        keep_audit_days=400,
        metrics_token="a-secret-for-figures",
        log_format="console",
    )
    assert settings.is_https
    # What is secret does not reach a log by way of the settings.
    assert "secret" not in repr(settings)
    assert "key" not in re.sub(r"\bsecret_key\w*=", "", repr(settings))


WRONG = [
    ("SECRET_KEY", ["", " ", "too short", "a" * 16, "x7Gq" * 7 + "x7G", "a" * 32, "ab" * 20, "aB3$xY7!" * 4]),
    ("SECRET_KEY", ["abcdefghijklmnopqrstuvwxyz0123456789", "9876543210zyxwvutsrqponmlkjihgfedcba"]),
    ("SECRET_KEY", ["change-me, change_me and change me again", "put Your Secret Key here before you start it"]),
    (
        "DATABASE_URL",
        ["nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:", "postgresql://host:port/name"],
    ),
    (
        "DATABASE_URL",
        ["sqlite:///a.sqlite3?timeout=soon", "sqlite:///a.sqlite3?mode=ro"],
    ),
    ("MAIL_MAX_PER_SECOND", ["1e-300", "0.009", "-1", "nan", "inf"]),
    ("PUBLIC_BASE_URL", ["clients.test", "ftp://clients.test", "https://", "//a.test", "https://a?b", "https://a#b"]),
    ("PUBLIC_BASE_URL", ["http://[::1", "https://a:99999", "https://a:port", "https://a:0", "https://user:word@a"]),
    ("PUBLIC_BASE_URL", ["https://two words.test", "https://a.test\nb", "https://a.test/a b"]),
    ("MAIL_PORT", ["0", "65536", "smtp", "2.5", "-1"]),
    ("MAIL_USE_TLS", ["maybe", "2"]),
    ("MAIL_USE_SSL", ["maybe", "tls"]),
    ("MAIL_DEFAULT_SENDER", ["nobody", "a@b.test\nBcc: c@d.test", "<>"]),
    ("MAIL_BOUNCE_ADDRESS", ["bounces", "@mail.test", "b@", "Bounces <b@mail.test>", "b@mail.test, c@mail.test"]),
    ("MAIL_BOUNCE_ADDRESS", ["b" * 22 + "@mail.test", "größe@mail.test", "b@mail.test\nx", "b..c@mail.test"]),
    ("BOUNCE_MAILBOX_URL", ["imap.test", "https://u:hunter2@imap.test/INBOX", "imap://u:hunter2@imap.test/INBOX"]),
    ("BOUNCE_MAILBOX_URL", ["imaps://imap.test/INBOX", "imaps://u@imap.test", "imaps://u:hunter2@/INBOX"]),
    ("BOUNCE_MAILBOX_URL", ["imaps://u:hun/ter2@imap.test", "imaps://u:hunter2#@imap.test", "imaps://u:p@[::1"]),
    ("MAIL_ALLOWED_NETWORKS", ["10.0.0.1/8", "everything", "10.0.0.0/8, x"]),
    ("WEBHOOK_ALLOWED_NETWORKS", ["10.0.0.1/8", "everything"]),
    ("DNS_RESOLVERS", ["dns.test", "10.0.0.53:dns", "10.0.0.53:0", "10.0.0.53:65536", "[::1]:", "10.0.0.53 10.0.0.54"]),
    ("INVITATION_TTL_SECONDS", ["0", "-1", "7d", "nan", "inf", "0.5", "99999999999"]),
    ("OUTBOX_INTERVAL_SECONDS", ["0", "-1", "soon", "nan"]),
    ("OUTBOX_CONNECTIONS", ["0", "1.5", "many", "101"]),
    ("SENDING", ["no", "0", "later"]),
    ("SCHEDULER", ["on", "EMBEDDED "]),
    ("PORT", ["0", "65536", "http"]),
    ("TRUSTED_PROXIES", ["-1", "all", "1.5"]),
    ("KEEP_SENT_MAILS_DAYS", ["0", "-1", "0.5", "for ever"]),
    ("KEEP_INVITATIONS_DAYS", ["0", "-1", "never"]),
    ("KEEP_HISTORY_MONTHS", ["0", "121", "1.5"]),
    ("KEEP_AUDIT_DAYS", ["0", "29", "3651", "for ever"]),
    ("METRICS_TOKEN", ["short", "two words of some length", "ein-längeres-geheimnis"]),
    ("LOG_FORMAT", ["xml", "JSON"]),
]


def test_the_password_of_the_mailbox_is_never_told() -> None:
    for name, texts in WRONG:
        for text in texts if name == "BOUNCE_MAILBOX_URL" else ():
            with pytest.raises(ConfigError) as caught:
                settings_of(BOUNCE_MAILBOX_URL=text)
            assert "hun" not in str(caught.value)


def test_a_mailbox_without_encryption_may_be_on_this_machine_only() -> None:
    for host in ("localhost", "127.0.0.1", "[::1]"):
        mailbox = settings_of(BOUNCE_MAILBOX_URL=f"imap://u:p@{host}:1143").bounce_mailbox
        assert mailbox is not None
        assert (mailbox.port, mailbox.is_encrypted, mailbox.folder) == (1143, False, "Inbox")


def test_the_longest_bounce_address_is_taken() -> None:
    assert settings_of(MAIL_BOUNCE_ADDRESS="b" * 21 + "@mail.test").mail_bounce_address


def test_keys_made_at_random_are_strong_enough() -> None:
    for make in (secrets.token_hex, secrets.token_urlsafe):
        assert {key_weakness(make(48)) for _time in range(1000)} == {None}


def test_a_weak_key_names_the_way_to_a_strong_one_and_not_itself() -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(SECRET_KEY="hunter2")
    sentence = str(caught.value)
    for said in ("secrets.token_urlsafe(48)", "SECRET_KEY_FALLBACKS", "flask --app wsgi secrets reseal"):
        assert said in sentence
    assert "hunter2" not in sentence
    # A former one is never refused: what it has encrypted could not be read.
    assert settings_of(SECRET_KEY_FALLBACKS="hunter2").secret_key_fallbacks == ("hunter2",)


@pytest.mark.parametrize("with_mail_server", [False, True])
@pytest.mark.parametrize("name, value", [(name, value) for name, values in WRONG for value in values])
def test_a_wrong_setting_is_named_in_one_line(name: str, value: str, with_mail_server: bool) -> None:
    more = {"MAIL_SERVER": "smtp.test"} if with_mail_server else {}
    with pytest.raises(ConfigError) as caught:
        settings_of(**more, **{name: value})
    sentence = str(caught.value)
    assert sentence.startswith(name)
    assert len(sentence.splitlines()) == 1
    assert "e+" not in sentence  # figures as people write them


@pytest.mark.parametrize("secret", ["postgresql://ada:hunter2@host:port/name", "mysql://ada:hunter2@host/name"])
def test_no_complaint_shows_a_password(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(DATABASE_URL=secret)
    assert "hunter2" not in str(caught.value)


def test_tls_from_the_first_byte_and_starttls_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="MAIL_USE_TLS and MAIL_USE_SSL"):
        settings_of(MAIL_SERVER="smtp.test", MAIL_USE_TLS="true", MAIL_USE_SSL="true")


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "ROOT", tmp_path)
    for name in [*MINIMUM, "PORT", "OUTBOX_CONNECTIONS", "TRUSTED_PROXIES", "MAIL_DEFAULT_SENDER"]:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_text(
        "# a comment\n"
        "SECRET_KEY='a key of the file, quoted, and of some length'\n"
        "PORT=9001\n"
        "OUTBOX_CONNECTIONS=9\n"
        'MAIL_DEFAULT_SENDER="Clients <no-reply@clients.test>"\n'
        "TRUSTED_PROXIES=\n"
    )
    monkeypatch.setenv("PORT", "9002")
    settings = load_settings(defaults={"PORT": "9003", "OUTBOX_CONNECTIONS": "8", "TRUSTED_PROXIES": "3"})
    assert settings.secret_key == "a key of the file, quoted, and of some length"
    assert settings.mail_default_sender == "Clients <no-reply@clients.test>"
    assert settings.port == 9002
    assert settings.outbox_connections == 9
    assert settings.trusted_proxies == 3


def test_every_setting_of_the_example_file_is_one_we_read(tmp_path: Path) -> None:
    example = (config.ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    read = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)*)"', (config.ROOT / "config.py").read_text()))
    assert named == read


def flask(*words: str, fresh: bool = False, **settings: str) -> CompletedProcess[str]:
    """A command as an operator types it."""
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return child_process.run(["flask", "--app", "wsgi", *words], environment | settings, fresh=fresh)


def test_a_command_with_a_wrong_setting_stops_with_one_line() -> None:
    stopped = flask("db", "upgrade", **MINIMUM, OUTBOX_CONNECTIONS="many")
    assert stopped.returncode != 0
    (line,) = stopped.stderr.splitlines()
    assert "OUTBOX_CONNECTIONS" in line
    assert stopped.stdout == ""


def test_check_says_so_in_a_line_of_its_own() -> None:
    stopped = flask("check", **MINIMUM, OUTBOX_CONNECTIONS="many")
    assert (stopped.returncode, stopped.stderr) == (1, "")
    (line,) = stopped.stdout.splitlines()
    assert line.startswith("FAIL\tsettings\tOUTBOX_CONNECTIONS must be a whole number")


# --- commands ------------------------------------------------------------------------------------


def run(app: Flask, *words: str, stdin: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=words, input=stdin)


def refusal(app: Flask, *words: str, stdin: str | None = None) -> str:
    """The one line with which a command is refused, after which nothing has changed."""
    with app.app_context():
        before = dump()
    refused = run(app, *words, stdin=stdin)
    assert refused.exit_code != 0
    assert refused.stdout == ""
    (line,) = refused.stderr.splitlines()
    with app.app_context():
        assert dump() == before
    return str(line)


def test_a_server_that_refuses_our_password_is_asked_less_and_less() -> None:
    minutes = [seconds / 60 for seconds in Timings().misconfigured_pauses]
    assert minutes == pytest.approx([1 / 6, 1, 5, 15, 60])


def test_an_operator_sets_up_a_portal_from_nothing(tmp_path: Path) -> None:
    """By real processes: what scripts read is alone on stdout, everything else goes to stderr."""
    settings = MINIMUM | {"DATABASE_URL": f"sqlite:///{tmp_path / 'clients.sqlite3'}"}
    upgraded = flask("db", "upgrade", fresh=True, **settings)
    assert (upgraded.returncode, upgraded.stdout) == (0, "")
    made = flask("portal", "create", "--name", "Harbour Tours", **settings)
    assert made.returncode == 0
    portal_id = made.stdout.split()[-1]
    assert made.stdout == f"{portal_id}\n"
    assert flask("portal", "list", **settings).stdout == f"{portal_id}\tHarbour Tours\n"


def test_a_portal_takes_the_id_it_is_given_once(app: Flask) -> None:
    assert run(app, "portal", "create", "--name", "Beach Huts", "--id", "B-17_x").stdout == "B-17_x\n"
    assert "B-17_x" in refusal(app, "portal", "create", "--name", "Beach Huts", "--id", "B-17_x")
    # Two of one name are two portals.
    first, second = (run(app, "portal", "create", "--name", "Beach Huts").stdout for _ in range(2))
    assert first != second
    for odd in ("", "a/b", "..", "-x", "a b", "x" * 33, "é", "a\n"):
        assert "portal id" in refusal(app, "portal", "create", "--name", "Odd", "--id", odd), odd
    for odd in ("", " ", "x" * 101, "a\nb", "<b>"):
        assert refusal(app, "portal", "create", "--name", odd).startswith("Error: ")


def test_an_account_is_made_and_gets_and_loses_roles(app: Flask) -> None:
    person = ("--email", " Rita@Harbour.TEST ")
    create = ("user", "create", *person, "--name", "Rita Sand")
    assert run(app, *create, "--password-stdin", stdin=f"{OTHER_PASSWORD}\n").stdout == "rita@harbour.test\n"
    assert "rita@harbour.test" in refusal(app, *create, "--password", PASSWORD)

    browser = Browser(app)
    assert browser.sign_in("rita@harbour.test", OTHER_PASSWORD).status_code == 303
    assert browser.get(ic(HARBOUR)).status_code == 404
    for role, new_client in {"staff": 403, "client_admin": 200}.items():
        assert run(app, "user", "grant", "--portal", HARBOUR, *person, "--role", role).exit_code == 0
        assert browser.get(f"{ic(HARBOUR)}/new").status_code == new_client
    # Only the role that is named is taken.
    assert "staff" in refusal(app, "user", "revoke", "--portal", HARBOUR, *person, "--role", "staff")
    assert run(app, "user", "revoke", "--portal", HARBOUR, *person, "--role", "client_admin").exit_code == 0
    assert browser.get(ic(HARBOUR)).status_code == 404
    assert "client_admin" in refusal(app, "user", "revoke", "--portal", HARBOUR, *person, "--role", "client_admin")


def test_who_or_what_is_unknown_is_said_in_one_line(app: Flask) -> None:
    ada = ("--email", "ada@harbour.test")
    role = ("--role", "staff")
    for verb in ("grant", "revoke"):
        assert "nowhere" in refusal(app, "user", verb, "--portal", "nowhere", *ada, *role)
        assert "x@y.test" in refusal(app, "user", verb, "--portal", ALPINE, "--email", "x@y.test", *role)
        assert refusal(app, "user", verb, "--portal", ALPINE, "--email", "garbage", *role).startswith("Error: ")
        unknown_role = run(app, "user", verb, "--portal", ALPINE, *ada, "--role", "king")
        assert unknown_role.exit_code == 2
        assert "client_admin" in unknown_role.stderr
    assert refusal(app, "user", "create", "--email", "garbage", "--name", "X", "--password", PASSWORD)
    assert refusal(app, "user", "create", "--email", "x@y.test", "--name", " ", "--password", PASSWORD)
    # Passwords are held to the same rules as people's own.
    for weak in ("a", "password1234", "x" * 129, "seven plain berghs for a test"):
        assert "password" in refusal(
            app, "user", "create", "--email", "x@y.test", "--name", "Ada Bergh", "--password", weak
        )
    no_password = run(app, "user", "create", "--email", "x@y.test", "--name", "X")
    assert no_password.exit_code == 2
    assert "--password-stdin" in no_password.stderr
    assert run(app, "user", "create", "--email", "x@y.test", "--name", "X", "--password-stdin", stdin="").exit_code == 2


def test_jobs_are_listed_and_run_by_name(app: Flask) -> None:
    listed = run(app, "jobs", "list").stdout.splitlines()
    names = [line.split("\t")[0] for line in listed]
    assert {"flush-outbox", "track-expiry"} <= set(names)
    for name in names:
        done = run(app, "jobs", "run", name)
        assert (done.exit_code, done.stdout) == (0, ""), name
    line = refusal(app, "jobs", "run", "flush-inbox")
    assert "flush-inbox" in line
    assert all(name in line for name in names)
