"""Settings, read from the environment and an optional `.env` file, with types, and checked before anything starts.

`load_settings()` is the only reader of the environment. A wrong value raises `ConfigError`, whose message is one line
that names the setting, says what is wrong with it, and shows what it should look like.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode, urlsplit

from dotenv import dotenv_values
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from config_values import BounceMailbox, bounce_mailbox, is_loopback, key_weakness, resolver

ROOT = Path(__file__).resolve().parent
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

DAY = 24 * 60 * 60
PER_SECOND = 0.01, 100_000
"""The least and the most that a limit of emails a second may be."""

LogFormat = Literal["json", "console"]

_NEW_KEY = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
_TOKEN = re.compile(r"[!-~]{16,}")
# No user and password, because every mail would contain them; no query, because paths are appended to the URL.
_BASE_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


class ConfigError(Exception):
    """A setting is missing or wrong. The message is meant for the operator and shown unchanged."""


@dataclass(frozen=True)
class MailSettings:
    """The deployment's mail server, with Flask-Mail's names for the settings."""

    server: str
    port: int
    use_tls: bool
    use_ssl: bool
    username: str | None
    password: str | None = field(repr=False)


BOUNCE_TOKEN_LENGTH = 42
"""The characters of the token in a bounce address. `app.outbox.bounce_address` makes it."""
_LOCAL_PART_LENGTH = 64
"""The most octets before the @ of an address (RFC 5321, 4.5.3.1.1)."""
_BOUNCE_ADDRESS = re.compile(r"(?P<local>[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*)@[\w.-]*\w", re.ASCII)


@dataclass(frozen=True)
class Timings:
    """The times of the queues of mails and webhooks, in seconds. All are derived from the three fields."""

    lease: float = 60.0
    """How long a worker owns what it has fetched. Afterwards another worker may take what is not finished."""
    first_retry: float = 20.0
    longest_retry: float = 4 * 60 * 60.0

    def retry_pause(self, attempts: int) -> float:
        """The pause before the next try of a mail after so many attempts: 20, 60, 180 s and so on, up to 4 hours."""
        return float(min(self.first_retry * 3 ** (attempts - 1), self.longest_retry))

    @property
    def deadline(self) -> float:
        """The longest time for one mail, connecting included."""
        return self.lease / 2

    @property
    def patience(self) -> float:
        """The longest single wait for a mail server, and the longest time for one webhook delivery."""
        return self.lease / 6

    @property
    def begin_within(self) -> float:
        """How long after its attempt was counted a mail or delivery may be begun.

        Begun by then, it ends within its lease, because it has a deadline as well. So a process that slept in between
        does not send what another has taken over.
        """
        return self.lease / 6

    @property
    def probe(self) -> float:
        """For how long only one worker tries a server that was at fault."""
        return self.lease / 3

    @property
    def unavailable_pause(self) -> float:
        """The pause of an unreachable server. Short, because it may come back at any moment and mails are waiting."""
        return self.first_retry / 5

    @property
    def misconfigured_pauses(self) -> tuple[float, ...]:
        """The pauses of a misconfigured server: 10 s, then 1, 5, 15 and 60 minutes.

        Growing, because a person has to fix it, and many servers lock a mailbox after some wrong passwords.
        """
        return tuple(self.first_retry * factor for factor in (0.5, 3, 15, 45, 180))


@dataclass(frozen=True)
class Settings:
    """All settings of an operator. Durations are in seconds."""

    database_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    secret_key_fallbacks: tuple[str, ...] = field(repr=False, default=())
    public_base_url: str = "http://localhost:8000"
    mail: MailSettings | None = None
    mail_default_sender: str = "no-reply@localhost"
    mail_bounce_address: str | None = None
    bounce_mailbox: BounceMailbox | None = None
    mail_allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    webhook_allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    dns_resolvers: tuple[tuple[str, int], ...] = ()
    """IP address and port of each resolver for the sender check. Empty: those of the system."""
    invitation_ttl_seconds: int = 7 * DAY
    outbox_interval_seconds: float = 1.0
    outbox_connections: int = 4
    timings: Timings = Timings()
    mail_max_per_second: float | None = None
    keep_sent_mails_days: int = 90
    sending: bool = True
    """False in a staging copy: nothing goes out."""
    keep_invitations_days: int | None = None
    """After how many days invitations that nobody accepted are removed. None: never."""
    keep_history_months: int | None = None
    """After how many months the histories of clients that have joined or were removed are deleted. None: never."""
    keep_audit_days: int = 365
    """After how many days lines of the audit trails are deleted. The database refuses to delete younger than 30."""
    scheduler: Literal["embedded", "off"] = "off"
    port: int = 8000
    trusted_proxies: int = 0
    metrics_token: str | None = field(repr=False, default=None)
    metrics_port: int | None = None
    log_format: LogFormat = "json"

    @property
    def public_host(self) -> str:
        """The host of `PUBLIC_BASE_URL`, used as the right-hand side of Message-IDs."""
        return urlsplit(self.public_base_url).hostname or "localhost"

    @property
    def is_https(self) -> bool:
        return self.public_base_url.startswith("https://")

    @property
    def is_public_url_local(self) -> bool:
        """Whether the links that we mail work on this machine only."""
        return is_loopback(self.public_host)


def load_settings(environ: Mapping[str, str] | None = None, *, defaults: Mapping[str, str] | None = None) -> Settings:
    """Read and check all settings.

    `environ` replaces the process's environment and the `.env` file (for tests). `defaults` are used for settings that
    neither of them contains: the first-run server passes its own database and key this way. Raises `ConfigError` at the
    first wrong value.
    """
    if environ is None:
        file_values = {k: v for k, v in dotenv_values(ROOT / ".env").items() if v is not None}
        environ = file_values | dict(os.environ)
    return _Reader(dict(defaults or {}) | {k: v for k, v in environ.items() if v.strip()}).settings()


class _Reader:
    """Converts texts to typed values. Every error names its setting."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def settings(self) -> Settings:
        base_url = self.base_url()
        host = urlsplit(base_url).hostname or "localhost"
        return Settings(
            database_url=self.database_url(),
            secret_key=self.secret_key(),
            secret_key_fallbacks=self.list("SECRET_KEY_FALLBACKS"),
            public_base_url=base_url,
            mail=self.mail(),
            mail_default_sender=self.sender(f"no-reply@{host}"),
            mail_bounce_address=self.bounce_address(),
            bounce_mailbox=self.bounce_mailbox(),
            mail_allowed_networks=self.networks("MAIL_ALLOWED_NETWORKS"),
            webhook_allowed_networks=self.networks("WEBHOOK_ALLOWED_NETWORKS"),
            dns_resolvers=self.resolvers("DNS_RESOLVERS"),
            invitation_ttl_seconds=self.integer("INVITATION_TTL_SECONDS", 7 * DAY, 1, 365 * DAY),
            outbox_interval_seconds=self.number("OUTBOX_INTERVAL_SECONDS", 1.0, 0.05, 3600),
            outbox_connections=self.integer("OUTBOX_CONNECTIONS", 4, 1, 100),
            timings=self.timings(),
            mail_max_per_second=self.mails_per_second(),
            keep_sent_mails_days=self.integer("KEEP_SENT_MAILS_DAYS", 90, 1, 3650),
            sending=self.sending(),
            keep_invitations_days=self.integer("KEEP_INVITATIONS_DAYS", 0, 1, 3650) or None,
            keep_history_months=self.integer("KEEP_HISTORY_MONTHS", 0, 1, 120) or None,
            keep_audit_days=self.integer("KEEP_AUDIT_DAYS", 365, 30, 3650),
            scheduler=self.scheduler(),
            port=self.integer("PORT", 8000, 1, 65535),
            trusted_proxies=self.integer("TRUSTED_PROXIES", 0, 0, 10),
            metrics_token=self.metrics_token(),
            metrics_port=self.integer("METRICS_PORT", 0, 1, 65535) or None,
            log_format=self.log_format(),
        )

    def timings(self) -> Timings:
        first = self.number("QUEUE_FIRST_RETRY_SECONDS", Timings.first_retry, 0.1, 3600)
        return Timings(
            lease=self.number("QUEUE_LEASE_SECONDS", Timings.lease, 1, 3600),
            first_retry=first,
            longest_retry=max(first, self.number("QUEUE_LONGEST_RETRY_SECONDS", Timings.longest_retry, 0.1, 7 * DAY)),
        )

    def get(self, name: str) -> str | None:
        value = self.values.get(name)
        return value.strip() if value is not None else None

    def list(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in (self.get(name) or "").split(",") if part.strip())

    def number(self, name: str, default: float, low: float, high: float, *, whole: bool = False) -> float:
        text = self.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high or (whole and not value.is_integer()):
            kind = "a whole number" if whole else "a number"
            raise ConfigError(f"{name} must be {kind} from {low} to {high}, but it is {text!r}.")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        return int(self.number(name, default, low, high, whole=True))

    def mails_per_second(self) -> float | None:
        if self.get("MAIL_MAX_PER_SECOND") == "0":
            return None
        return self.number("MAIL_MAX_PER_SECOND", 0, *PER_SECOND) or None

    def flag(self, name: str) -> bool:
        text = (self.get(name) or "false").lower()
        if text in {"1", "true", "yes", "on"}:
            return True
        if text in {"0", "false", "no", "off"}:
            return False
        raise ConfigError(f"{name} must be true or false, but it is {text!r}.")

    def secret_key(self) -> str:
        key = self.get("SECRET_KEY")
        if key is None:
            raise ConfigError(f"SECRET_KEY is not set. Make one with: {_NEW_KEY}")
        if weakness := key_weakness(key):
            raise ConfigError(
                f"SECRET_KEY {weakness}. Make a new one: {_NEW_KEY}; if this installation has run with the old one, put"
                " that into SECRET_KEY_FALLBACKS, start again, and run: flask --app wsgi secrets reseal"
            )
        return key

    def database_url(self) -> str:
        text = self.get("DATABASE_URL") or "sqlite:///imported-clients.sqlite3"
        expected = "it must look like sqlite:///clients.sqlite3 or postgresql://user:password@host/name"
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise ConfigError(f"DATABASE_URL cannot be read: {expected}.") from None
        if url.drivername in {"postgres", "postgresql"}:
            url = url.set(drivername="postgresql+psycopg")
        if url.drivername not in {"sqlite", "postgresql+psycopg"}:
            raise ConfigError(f"DATABASE_URL names {url.drivername!r}, which is not supported: {expected}.")
        if url.drivername == "sqlite":
            if url.database in {None, "", ":memory:"}:
                raise ConfigError("DATABASE_URL must name a file for SQLite, such as sqlite:///clients.sqlite3.")
            if not re.fullmatch(r"(timeout=\d{1,6}(\.\d+)?)?", urlencode(url.query)):
                raise ConfigError("DATABASE_URL may have one option for SQLite, such as ?timeout=30, in seconds.")
            # Absolute, so that the file does not depend on any library's idea of the current folder.
            url = url.set(database=str(Path(str(url.database)).absolute()))
        return url.render_as_string(hide_password=False)

    def base_url(self) -> str:
        text = self.get("PUBLIC_BASE_URL") or f"http://localhost:{self.integer('PORT', 8000, 1, 65535)}"
        try:
            parts = urlsplit(text)
            is_address = _BASE_URL.fullmatch(text) is not None and parts.hostname is not None and parts.port != 0
        except ValueError:  # unbalanced brackets, or an invalid port
            is_address = False
        if not is_address:
            raise ConfigError(
                f"PUBLIC_BASE_URL must be a web address such as https://clients.example.com, but it is {text!r}."
            )
        return text.rstrip("/")

    def mail(self) -> MailSettings | None:
        server = self.get("MAIL_SERVER")
        settings = MailSettings(
            server=server or "",
            port=self.integer("MAIL_PORT", 25, 1, 65535),
            use_tls=self.flag("MAIL_USE_TLS"),
            use_ssl=self.flag("MAIL_USE_SSL"),
            username=self.get("MAIL_USERNAME"),
            password=self.get("MAIL_PASSWORD"),
        )
        if settings.use_tls and settings.use_ssl:
            raise ConfigError("MAIL_USE_TLS and MAIL_USE_SSL cannot both be true: choose the one your server speaks.")
        return settings if server else None

    def sender(self, default: str) -> str:
        text = self.get("MAIL_DEFAULT_SENDER") or default
        _, address = parseaddr(text)
        if "@" not in address or any(c in text for c in "\r\n"):
            raise ConfigError(
                f"MAIL_DEFAULT_SENDER must be an address such as 'Clients <no-reply@example.com>', but it is {text!r}."
            )
        return text

    def bounce_address(self) -> str | None:
        text = self.get("MAIL_BOUNCE_ADDRESS")
        if text is None:
            return None
        found = _BOUNCE_ADDRESS.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"MAIL_BOUNCE_ADDRESS must be a plain address such as bounces@mail.example.com, but it is {text!r}."
            )
        room = _LOCAL_PART_LENGTH - BOUNCE_TOKEN_LENGTH - len("+")
        if len(found["local"]) > room:
            raise ConfigError(
                "MAIL_BOUNCE_ADDRESS leaves no room for the token of each mail: before the @ it may have at most"
                f" {room} characters, but it has {len(found['local'])}."
            )
        return text

    def bounce_mailbox(self) -> BounceMailbox | None:
        text = self.get("BOUNCE_MAILBOX_URL")
        try:
            return bounce_mailbox(text) if text else None
        except ValueError as error:
            raise ConfigError(f"BOUNCE_MAILBOX_URL {error}") from None

    def networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        try:
            return tuple(ip_network(part) for part in self.list(name))
        except ValueError as error:
            raise ConfigError(f"{name} must list networks such as 10.1.0.0/16, but {error}.") from None

    def resolvers(self, name: str) -> tuple[tuple[str, int], ...]:
        try:
            return tuple(resolver(part) for part in self.list(name))
        except ValueError:
            expected = "IP addresses of DNS resolvers, such as 10.0.0.53 or [fd00::53]:5353"
            raise ConfigError(f"{name} must list {expected}, but it is {self.get(name)!r}.") from None

    def sending(self) -> bool:
        text = (self.get("SENDING") or "on").lower()
        if text not in {"on", "off"}:
            raise ConfigError(f"SENDING must be 'on' or 'off', but it is {text!r}.")
        return text == "on"

    def scheduler(self) -> Literal["embedded", "off"]:
        text = self.get("SCHEDULER") or "off"
        if text == "embedded":
            return "embedded"
        if text == "off":
            return "off"
        raise ConfigError(f"SCHEDULER must be 'embedded' or 'off', but it is {text!r}.")

    def metrics_token(self) -> str | None:
        token = self.get("METRICS_TOKEN")
        if token is not None and not _TOKEN.fullmatch(token):
            raise ConfigError("METRICS_TOKEN must have at least 16 characters, without spaces, of plain ASCII.")
        return token

    def log_format(self) -> LogFormat:
        text = self.get("LOG_FORMAT") or "json"
        if text == "json":
            return "json"
        if text == "console":
            return "console"
        raise ConfigError(f"LOG_FORMAT must be 'json' or 'console', but it is {text!r}.")
