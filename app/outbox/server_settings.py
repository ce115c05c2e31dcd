"""A portal's mail settings: its own mail server, and where answers go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.audit import service as audit
from app.audit.changes import difference
from app.audit.service import AuditKind
from app.core.encryption import encrypt
from app.core.errors import DomainError, TooManyRequests
from app.core.text import clean_email
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import db
from app.models import Portal, PortalMailServer, TlsMode
from app.outbox.recovery import recovered
from app.outbox.routing import DEPLOYMENT
from app.outbox.to_admins import enqueue_server_notice


@dataclass(frozen=True)
class OwnServer:
    """A portal's own mail server, and the sender of its mails."""

    host: str
    port: int
    tls: TlsMode
    sender: str
    """One mailbox, with or without a display name."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    """If there is a user name, None keeps the stored password."""
    per_second: float | None = None
    dkim_selector: str | None = None
    """For the sender check. None: not known."""
    uses_bounce_address: bool = False
    """Whether this server lets mails carry the deployment's bounce address as their envelope sender."""


_TRIES = rate_limits.Limit("deployment-server-tried", 6, timedelta(minutes=10))
"""So often all portals together may end a pause of the deployment's server by saving their settings. It is a server for
all of them, and its provider may lock the mailbox after too many wrong passwords."""


class PasswordNeeded(DomainError):
    """A user name needs a password. None was typed, and none is stored for this very server."""

    status = 422


def own_server_of(portal_id: str) -> PortalMailServer | None:
    """A portal's own mail server, or None if it has none."""
    return db.session.get(PortalMailServer, portal_id)


def save_mail_settings(portal_id: str, own_server: OwnServer | None, reply_to: str | None) -> None:
    """Save how a portal's mails are sent, with one press of Save.

    `own_server`: None for the deployment's. `reply_to`: a clean address, or None for the person who invites. If the
    server changes, the portal's client admins are told. Raises as `save_own_server` does, and saves nothing then.
    """
    with transaction() as session:
        is_tried = own_server is None and _may_try_deployments()
        portal = session.get_one(Portal, portal_id)
        before = _settings_of(own_server_of(portal_id)) | {"reply_to": portal.reply_to}
        if own_server is not None:
            _use(session, portal_id, own_server)
        else:
            if (row := own_server_of(portal_id)) is not None:
                _stop_using(session, row)
            # Also if nothing has changed: whoever saves knows that the server was fixed, or wants it to be tried.
            if is_tried:
                recovered(DEPLOYMENT)
        portal.reply_to = reply_to
        session.flush()
        _tell(portal_id, before, _settings_of(own_server_of(portal_id)) | {"reply_to": reply_to})


def save_own_server(portal_id: str, server: OwnServer) -> None:
    """Send a portal's mails through this server from now on, and end a pause that the old settings caused.

    As an operator does. If the server changes, the portal's client admins are told. Raises `DomainError` for an unknown
    portal, `TextError` for a sender that is not a mailbox, and `PasswordNeeded`.
    """
    with transaction() as session:
        if session.get(Portal, portal_id) is None:
            raise DomainError(_("There is no portal with the id %(id)s.", id=portal_id))
        before = _settings_of(own_server_of(portal_id))
        _use(session, portal_id, server)
        session.flush()
        _tell(portal_id, before, _settings_of(own_server_of(portal_id)))


def _use(session: Session, portal_id: str, server: OwnServer) -> None:
    clean_email(parseaddr(server.sender)[1])
    encrypted_password = _encrypted(server, own_server_of(portal_id))
    session.merge(
        PortalMailServer(
            portal_id=portal_id,
            host=server.host,
            port=server.port,
            tls=server.tls,
            username=server.username,
            encrypted_password=encrypted_password,
            sender=server.sender,
            per_second=server.per_second,
            dkim_selector=server.dkim_selector,
            uses_bounce_address=server.uses_bounce_address,
        )
    )
    recovered(portal_id)


def _encrypted(server: OwnServer, former: PortalMailServer | None) -> str | None:
    if server.username is None:
        return None
    if server.password:
        return encrypt(server.password)
    # Nobody may get the stored password by naming another server, or by weakening the connection to it.
    same = former and (former.host, former.port, former.tls, former.username) == (
        *(server.host, server.port, server.tls, server.username),
    )
    if former is None or not same or former.encrypted_password is None:
        raise PasswordNeeded(_("Enter the password for this server: none is saved for it."))
    return former.encrypted_password


def drop_own_server(portal_id: str) -> None:
    """Send a portal's mails through the deployment's mail server again, as an operator does.

    Its client admins are told. Raises `DomainError` if it has none.
    """
    with transaction() as session:
        row = session.get(PortalMailServer, portal_id)
        if row is None:
            raise DomainError(_("The portal %(id)s has no mail server of its own.", id=portal_id))
        before = _settings_of(row)
        _stop_using(session, row)
        _tell(portal_id, before, _settings_of(None))


_RECORDED = (
    "host",
    "port",
    "tls",
    "username",
    "encrypted_password",
    "sender",
    "per_second",
    "dkim_selector",
    "uses_bounce_address",
)
_DECIDE = {"own_server", "host", "port", "tls", "username", "encrypted_password", "sender"}
"""What decides by which server mails go, and in whose name."""


def _settings_of(own: PortalMailServer | None) -> dict[str, object]:
    """What the audit trail compares: plain values, as the row changes."""
    values = {name: getattr(own, name) for name in _RECORDED} if own is not None else {}
    return {"own_server": own is not None, **values}


def _tell(portal_id: str, before: Mapping[str, object], after: Mapping[str, object]) -> None:
    """Tell the client admins and the audit trail what has changed. `before` may have settings that `after` lacks."""
    changed = difference(before, dict.fromkeys(before) | dict(after))
    if changed.keys() & _DECIDE:
        enqueue_server_notice(portal_id, str(after.get("host") or ""))
    host = after.get("host") or before.get("host")
    if changed:
        target = audit.thing(str(host)) if host else None
        audit.record(portal_id, AuditKind.MAIL_SERVER_CHANGED, target=target, change=changed)


def _stop_using(session: Session, row: PortalMailServer) -> None:
    session.delete(row)
    recovered(row.portal_id)


def _may_try_deployments() -> bool:
    """Count towards the limit of `_TRIES`. Its lock comes before all others: see `app.db.rate_limits`."""
    try:
        rate_limits.use(_TRIES, DEPLOYMENT)
    except TooManyRequests:
        return False
    return True
