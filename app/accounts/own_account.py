"""What people see and change in their own account: their name, their language, and where they are signed in.

Each verb looks again, in its transaction, whether the session that asks for it is still there: whoever was signed out
meanwhile changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.users import lock_account, session_id
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.clock import now
from app.core.errors import NotFound
from app.core.text import fold
from app.core.user_agents import Device
from app.db.transactions import transaction
from app.extensions import db
from app.models import Language, LoginSession, Portal, User


class SessionEnded(Exception):
    """The login session that asked for a change has ended meanwhile. Nothing was done."""


@dataclass(frozen=True)
class ShownSession:
    """A login session as its owner sees it."""

    id: str
    """For addresses. It neither opens the session nor tells what its row is called."""
    device: str
    network: str | None
    begun_at: datetime
    seen_at: datetime
    portal_name: str | None
    """The only portal that the session is valid for, if a host shell began it."""
    is_this: bool


def hold_session(session: Session, user_id: int, token: str) -> LoginSession:
    """The ordinary login session with this token, locked. The caller has locked its account.

    Raises `SessionEnded`.
    """
    held = session.scalar(
        select(LoginSession)
        .where(
            LoginSession.id == session_id(token),
            LoginSession.user_id == user_id,
            LoginSession.portal_id.is_(None),
            LoginSession.expires_at > now(),
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if held is None:
        raise SessionEnded
    return held


def rename(user_id: int, token: str, name: str) -> None:
    """Give an account another name, in its clean form, by its session. Raises `SessionEnded`."""
    with transaction() as session:
        user, _session = _locked_account(session, user_id, token)
        former, user.name, user.name_folded = user.name, name, fold(name)
        if name != former:
            audit.record_of_account(user_id, AuditKind.NAME_CHANGED, by_owner=True, change={"name": [former, name]})


def choose_language(user_id: int, token: str, language: Language | None) -> None:
    """Let an account's owner read all pages in a language. None: in that of the browser. Raises `SessionEnded`."""
    with transaction() as session:
        user, _session = _locked_account(session, user_id, token)
        user.language = language


def sessions_of(user_id: int, token: str) -> Sequence[ShownSession]:
    """The live sessions of an account: the one with this token first, then the one that was seen last."""
    live = (
        select(LoginSession, Portal.name)
        .outerjoin(Portal, Portal.id == LoginSession.portal_id)
        .where(LoginSession.user_id == user_id, LoginSession.expires_at > now())
    )
    this = session_id(token)
    shown = [
        ShownSession(
            id=_shown_id(row),
            device=Device(row.browser, row.system).words,
            network=row.network,
            begun_at=row.created_at,
            seen_at=row.last_seen_at or row.created_at,
            portal_name=portal_name,
            is_this=row.id == this,
        )
        for row, portal_name in db.session.execute(live)
    ]
    return sorted(shown, key=lambda one: (one.is_this, one.seen_at), reverse=True)


def end_session(user_id: int, token: str, shown_id: str) -> bool:
    """End one of an account's sessions, by another one or by itself. Returns whether it was itself.

    Raises `NotFound` if the account has no such session, and `SessionEnded`.
    """
    with transaction() as session:
        _user, login_session = _locked_account(session, user_id, token)
        live = select(LoginSession).where(LoginSession.user_id == user_id, LoginSession.expires_at > now())
        found = next((row for row in session.scalars(live) if _shown_id(row) == shown_id), None)
        if found is None:
            raise NotFound
        session.delete(found)
        audit.record_of_account(user_id, AuditKind.SESSIONS_ENDED, by_owner=True)
        return found is login_session


def end_other_sessions(user_id: int, token: str) -> int:
    """End all sessions of an account but the one with this token, also those that host shells began.

    Returns their number. Raises `SessionEnded`.
    """
    with transaction() as session:
        _user, login_session = _locked_account(session, user_id, token)
        others = delete(LoginSession).where(
            LoginSession.user_id == user_id, LoginSession.id != login_session.id, LoginSession.expires_at > now()
        )
        ended: int = session.execute(others).rowcount  # type: ignore[attr-defined]
        if ended:
            audit.record_of_account(user_id, AuditKind.SESSIONS_ENDED, by_owner=True)
        return ended


def _locked_account(session: Session, user_id: int, token: str) -> tuple[User, LoginSession]:
    """An account and the login session that asks for a change of it, both locked. Raises `SessionEnded`."""
    user = lock_account(session, user_id)
    if user is None:
        raise SessionEnded
    return user, hold_session(session, user_id, token)


def _shown_id(row: LoginSession) -> str:
    return hashlib.sha256(f"shown {row.id}".encode()).hexdigest()[:32]
