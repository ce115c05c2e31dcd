"""The settings of the first run. Each has a default for a fresh machine; settings for production are refused."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile

from config import ConfigError, Settings, load_settings
from config_values import is_loopback, key_weakness

_INSTEAD = "this way of starting is for trying things out on one machine; in production run 'gunicorn wsgi:app'."


def demo_settings(folder: Path) -> Settings:
    """Read the settings. By default, `folder` holds the database and the secret key.

    The environment overrides `.env`, which overrides these defaults. `mail` stays None if no mail server is set. Raises
    `ConfigError` for a wrong setting and for one meant for production.
    """
    key_file, former_file = folder / "secret_key", folder / "former_secret_key"
    kept_key, former = _read_key(key_file), _read_key(former_file)
    if kept_key and key_weakness(kept_key):
        # A key of an older version or written by hand. As a former key, what it signed and encrypted still works.
        kept_key, former = None, kept_key
    key = kept_key or secrets.token_hex(32)
    settings = load_settings(
        defaults={
            "DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite3'}",
            "SECRET_KEY": key,
            "SECRET_KEY_FALLBACKS": former or "",
            "MAIL_DEFAULT_SENDER": "B-Portal <no-reply@b-portal.example>",
            "SCHEDULER": "embedded",
            "LOG_FORMAT": "console",
        }
    )
    _refuse_production(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if kept_key is None and settings.secret_key == key:
        if former:
            _keep_key(former_file, former)
        _keep_key(key_file, key)
    return settings


def _refuse_production(settings: Settings) -> None:
    if not settings.database_url.startswith("sqlite"):
        raise ConfigError(f"DATABASE_URL must name an SQLite file here: {_INSTEAD}")
    if settings.is_https or not settings.is_public_url_local:
        raise ConfigError(
            f"PUBLIC_BASE_URL must be http:// on this machine here, but it is {settings.public_base_url!r}: {_INSTEAD}"
        )
    if settings.mail is not None and not is_loopback(settings.mail.server):
        raise ConfigError(
            f"MAIL_SERVER must be on this machine here, but it is {settings.mail.server!r}: {_INSTEAD} "
            "Without it, mails go to a catcher where you can read them."
        )


def _read_key(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None


def _keep_key(path: Path, key: str) -> None:
    """Write the key to a file that only its owner can read. The write is atomic: the file is complete or absent."""
    # A temporary file is created with mode 600.
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(key + "\n")
    os.replace(file.name, path)
