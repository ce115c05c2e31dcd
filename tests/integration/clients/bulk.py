"""A bulk action has an address, and clients to act on: many from a file, and some that have joined."""

from __future__ import annotations

from flask import Flask

from app.accounts.users import find_user
from app.imports.client_list import ClientRow
from app.imports.service import import_clients
from app.invitations.service import invitation_url
from app.registration.service import accept
from tests.conftest import HARBOUR
from tests.support.browser import ic
from tests.support.factories import find_client, make_user

BULK = f"{ic(HARBOUR)}/bulk"


def join(app: Flask, email: str) -> None:
    """What an invitee with a verified account does."""
    with app.app_context():
        user_id = make_user(email, "Joined Person")
        client = find_client(HARBOUR, email)
        link = invitation_url(HARBOUR, client.id, client.generation)
        accept(link.rpartition("/")[2], user_id)


def import_many(app: Flask, number: int, portal_id: str = HARBOUR, actor: str = "ada@harbour.test") -> None:
    with app.app_context():
        admin = find_user(actor)
        assert admin is not None
        rows = [ClientRow(n + 2, f"Company {n}", f"many-{n}@client.test") for n in range(number)]
        assert not isinstance(import_clients(portal_id, admin.id, "many.csv", rows), list)
