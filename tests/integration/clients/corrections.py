"""A correction gives an invited client another name or address; here are both, the form's path and its fields."""

from __future__ import annotations

from uuid import UUID

from flask import Flask

from app.invitations.service import invitation_url
from tests.conftest import HARBOUR
from tests.support.browser import ic
from tests.support.factories import invite

OLD = "inof@nordwind.test"
NEW = "info@nordwind.test"


def invited(app: Flask, email: str = OLD, company_name: str = "Nordwint") -> str:
    with app.app_context():
        return invite(HARBOUR, email, company_name)


def path(client_id: object) -> str:
    return f"{ic(HARBOUR)}/{client_id}/correct"


def fields(email: str = NEW, company_name: str = "Nordwind Reisen") -> dict[str, str]:
    return {"company_name": company_name, "email": email}


def link_of(app: Flask, client_id: str, generation: int = 1) -> str:
    with app.app_context():
        return invitation_url(HARBOUR, UUID(client_id), generation)
