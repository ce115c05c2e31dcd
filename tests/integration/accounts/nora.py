"""A stranger has registered with the address of Nora, and the link that proves it went to her."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.links import LinkClaim, LinkKind, make_url
from app.models import ShellAccount, ShellIssuer
from tests.support.app_driver import AppDriver
from tests.support.factories import OTHER_PASSWORD

NORA = "nora@nordwind.test"
STRANGERS = {"name": "Mallory Grim", "password": "a stranger chose this one"}
OWN = {"name": "Nora Wind", "new_password": OTHER_PASSWORD}


def verification_link(app_driver: AppDriver) -> str:
    user = app_driver.user(NORA)
    return str(app_driver.do(make_url, LinkKind.VERIFICATION, LinkClaim(str(user.id), user.verification_generation)))


def link_to_shell(session: Session, subject: str, user_id: int) -> None:
    """As if the only shell had handed this account over before it was known whose it is."""
    issuer_id = session.scalars(select(ShellIssuer.id)).one()
    session.add(ShellAccount(issuer_id=issuer_id, subject=subject, user_id=user_id, is_made_here=False))
