"""The encrypted secrets in the database: which key opens each, and how to move all of them to the newest key."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from threading import Thread
from typing import Any, cast

from flask import Flask
from sqlalchemy import Column, ColumnElement, Table, and_, select, true, update
from sqlalchemy.exc import DBAPIError

from app.core.clock import now
from app.core.encryption import decrypt, encrypt, key_number
from app.db.transactions import transaction
from app.extensions import db
from app.models import PortalMailServer, TotpKey, WebhookEndpoint
from config import Settings
from config_values import key_weakness

log = logging.getLogger(__name__)


class SecretKind(StrEnum):
    """The purpose of a secret."""

    MAIL_PASSWORD = "mail passwords"
    WEBHOOK_SECRET = "webhook secrets"
    TOTP_KEY = "TOTP keys"


@dataclass(frozen=True)
class _Place:
    """A column that holds encrypted secrets, and a condition for the rows whose secret is still in use."""

    kind: SecretKind
    column: Column[str]
    is_used: ColumnElement[bool]

    @property
    def key(self) -> Sequence[Column[Any]]:
        return list(self.column.table.primary_key.columns)


def _places() -> Sequence[_Place]:
    servers = cast(Table, PortalMailServer.__table__).c
    totp_keys = cast(Table, TotpKey.__table__).c
    endpoints = cast(Table, WebhookEndpoint.__table__).c
    return (
        _Place(SecretKind.MAIL_PASSWORD, servers.encrypted_password, true()),
        _Place(SecretKind.WEBHOOK_SECRET, endpoints.encrypted_secret, true()),
        _Place(SecretKind.WEBHOOK_SECRET, endpoints.former_encrypted_secret, endpoints.former_secret_until > now()),
        _Place(SecretKind.TOTP_KEY, totp_keys.encrypted_key, true()),
    )


def count_encrypted() -> Mapping[SecretKind, Counter[int | None]]:
    """Count the secrets of each kind by key: 0 stands for SECRET_KEY, n for the n-th fallback, None for no key."""
    counts: dict[SecretKind, Counter[int | None]] = {kind: Counter() for kind in SecretKind}
    for place in _places():
        counts[place.kind].update(key_number(encrypted) for _key, encrypted in _found(place))
    return counts


def reseal() -> int:
    """Encrypt with SECRET_KEY every secret that a fallback opens, and return how many. Others stay as they are.

    Each secret has a transaction of its own and is replaced only if it is still the value that was read. So nobody
    waits for long, no change that is saved meanwhile is lost, and two processes may do this at once.
    """
    moved = 0
    for place in _places():
        for key, encrypted in _found(place):
            if key_number(encrypted):
                moved += _replace(place, key, encrypted, encrypt(decrypt(encrypted)))
    return moved


def warn_of_keys(app: Flask) -> None:
    """Log, when a process starts, which keys should be removed and which cannot be removed yet.

    This runs in a thread of its own, so that the process does not wait for a database that is away. If it is away,
    nothing is logged about the secrets in it.
    """
    Thread(target=_warn_of_keys, args=(app,), name="keys", daemon=True).start()


def _warn_of_keys(app: Flask) -> None:
    settings: Settings = app.config["SETTINGS"]
    for number, key in enumerate(settings.secret_key_fallbacks, 1):
        if weakness := key_weakness(key):
            log.warning(
                "key %s of SECRET_KEY_FALLBACKS %s; until it is taken out, whoever guesses it can forge links",
                number,
                weakness,
            )
    with app.app_context():
        try:
            counts = sum(count_encrypted().values(), Counter[int | None]())
        except DBAPIError:
            return
    if unreadable := counts.pop(None, 0):
        log.warning("%s secrets cannot be read with any key: see 'flask --app wsgi secrets status'", unreadable)
    if waiting := counts.total() - counts[0]:
        log.warning(
            "%s secrets need a key of SECRET_KEY_FALLBACKS: run 'flask --app wsgi secrets reseal' before it goes",
            waiting,
        )


def _found(place: _Place) -> Iterator[tuple[Sequence[Any], str]]:
    query = select(*place.key, place.column).where(place.column.is_not(None), place.is_used).order_by(*place.key)
    for *key, encrypted in db.session.execute(query).all():
        yield key, encrypted


def _replace(place: _Place, key: Sequence[Any], encrypted: str, resealed: str) -> int:
    is_unchanged = and_(
        place.column == encrypted, *(column == value for column, value in zip(place.key, key, strict=True))
    )
    with transaction() as session:
        result: Any = session.execute(update(place.column.table).where(is_unchanged).values({place.column: resealed}))
    return int(result.rowcount)
