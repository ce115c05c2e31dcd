"""Plain functions that make what tests start from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import delete, func, insert, select

from app.accounts.users import find_user, new_user
from app.clients.service import add_client
from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.imports.csv_reader import read_csv
from app.imports.service import Imported, import_clients
from app.models import ImportedClient, MailKind, Membership, OutboxMail, Portal, RateLimitHit, Role

PASSWORD = "seven plain words for a test"
OTHER_PASSWORD = "quite another sentence to type"


QUICK_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""For people and applications under test: the real one takes a fifth of a second for each password."""


@cache
def _hash(password: str) -> str:
    return QUICK_HASHER.hash(password)


def make_portal(portal_id: str, name: str) -> str:
    with transaction() as session:
        session.add(Portal(id=portal_id, name=name))
    return portal_id


def make_user(email: str, name: str, *, verified: bool = True, password: str = PASSWORD) -> int:
    with transaction() as session:
        user = new_user(email, name, _hash(password))
        user.email_verified_at = now() if verified else None
        session.add(user)
        session.flush()
        return user.id


def make_member(portal_id: str, email: str, name: str, role: Role) -> int:
    user_id = make_user(email, name)
    with transaction() as session:
        session.add(Membership(portal_id=portal_id, user_id=user_id, role=role))
    return user_id


def invite(
    portal_id: str,
    email: str,
    company_name: str = "Nordwind Reisen",
    actor: str = "ada@harbour.test",
    message: str | None = None,
) -> str:
    """Add a client as an admin does; returns its id."""
    admin = find_user(actor)
    assert admin is not None
    add_client(portal_id, admin.id, company_name, email, message)
    return str(find_client(portal_id, email).id)


def import_file(portal_id: str, *emails: str, actor: str = "ada@harbour.test") -> str:
    """Import a file with these addresses as an admin does; returns the import's id."""
    admin = find_user(actor)
    assert admin is not None
    lines = ["company_name,email", *(f"Imported Ltd,{email}" for email in emails)]
    file = read_csv("\r\n".join(lines).encode())
    assert not file.errors
    outcome = import_clients(portal_id, admin.id, "clients.csv", file.rows)
    assert isinstance(outcome, Imported)
    return str(outcome.import_id)


def find_client(portal_id: str, email: str) -> ImportedClient:
    db.session.rollback()
    client = db.session.scalar(
        db.select(ImportedClient).where(ImportedClient.portal_id == portal_id, ImportedClient.email == email)
    )
    assert client is not None
    return client


@contextmanager
def counted_as(app: Flask, times: int) -> Iterator[None]:
    """Every limited action that is counted meanwhile counts so many times, as if it had been done so often."""
    with app.app_context():
        newest = db.session.scalar(select(func.max(RateLimitHit.id))) or 0
    yield
    with app.app_context(), transaction() as session:
        for key in session.scalars(select(RateLimitHit.key).where(RateLimitHit.id > newest)).all():
            session.add_all(RateLimitHit(key=key) for _ in range(times - 1))


def as_if_that_had_been(app: Flask, times: int) -> None:
    """Every limited action that was counted counts so many times, as if it had been done so often."""
    with app.app_context(), transaction() as session:
        counted = session.scalars(select(RateLimitHit.key)).all()
        session.execute(insert(RateLimitHit), [{"key": key} for key in counted for _ in range(times - 1)])


def forget_server_notices() -> None:
    """Delete what tells client admins of another mail server, for who counts the mails of clients."""
    with transaction() as session:
        session.execute(delete(OutboxMail).where(OutboxMail.kind == MailKind.SERVER_NOTICE))
