"""What the database holds encrypted: under which key each secret is, and moving all of them to the newest key."""

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
from app.models import PortalMailServer, WebhookEndpoint
from config import Settings, key_weakness

log = logging.getLogger(__name__)


class SecretKind(StrEnum):
    """What a secret is for."""

    MAIL_PASSWORD = "mail passwords"
    WEBHOOK_SECRET = "webhook secrets"


@dataclass(frozen=True)
class _Place:
    """A column that holds encrypted secrets, and the rows whose secret is still used."""

    kind: SecretKind
    column: Column[str]
    is_used: ColumnElement[bool]

    @property
    def key(self) -> Sequence[Column[Any]]:
        return list(self.column.table.primary_key.columns)


def _places() -> Sequence[_Place]:
    servers = cast(Table, PortalMailServer.__table__).c
    endpoints = cast(Table, WebhookEndpoint.__table__).c
    return (
        _Place(SecretKind.MAIL_PASSWORD, servers.encrypted_password, true()),
        _Place(SecretKind.WEBHOOK_SECRET, endpoints.encrypted_secret, true()),
        _Place(SecretKind.WEBHOOK_SECRET, endpoints.former_encrypted_secret, endpoints.former_secret_until > now()),
    )


def count_encrypted() -> Mapping[SecretKind, Counter[int | None]]:
    """How many secrets of each kind each key opens: 0 stands for SECRET_KEY, n for the n-th fallback, None for none."""
    counts: dict[SecretKind, Counter[int | None]] = {kind: Counter() for kind in SecretKind}
    for place in _places():
        counts[place.kind].update(key_number(encrypted) for _key, encrypted in _found(place))
    return counts


def reseal() -> int:
    """Encrypt with SECRET_KEY whatever a fallback opens; returns how many. What no key opens is left as it is.

    Each in a transaction of its own, and only while it is what was read: so it waits for nobody for long, nothing that
    is saved meanwhile is lost, and it may run twice at once.
    """
    moved = 0
    for place in _places():
        for key, encrypted in _found(place):
            if key_number(encrypted):
                moved += _replace(place, key, encrypted, encrypt(decrypt(encrypted)))
    return moved


def warn_of_keys(app: Flask) -> None:
    """Say in the log, at the start of a process, which keys should go and which cannot go yet.

    In a thread of its own, since nobody waits for a database that is away: nothing is said then of what is in it.
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
