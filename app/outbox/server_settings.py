"""A portal's own mail server: saving and removing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parseaddr

from flask_babel import gettext as _

from app.core.encryption import encrypt
from app.core.errors import DomainError
from app.core.signals import mail_queued
from app.core.text import clean_email
from app.db.transactions import send_after_commit, transaction
from app.extensions import db
from app.models import Portal, PortalMailServer, TlsMode
from app.outbox.routing import resume


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
    reply_to: str | None = None
    """Where answers go. None: to the person who invites."""
    per_second: float | None = None
    uses_bounce_address: bool = False
    """Whether this server lets mails carry the deployment's bounce address as their envelope sender."""


class PasswordNeeded(DomainError):
    """A user name needs a password. None was typed, and none is stored for this very server."""

    status = 422


def own_server_of(portal_id: str) -> PortalMailServer | None:
    """A portal's own mail server, or None if it has none."""
    return db.session.get(PortalMailServer, portal_id)


def save_own_server(portal_id: str, server: OwnServer) -> None:
    """Send a portal's mails through this server from now on, and end a pause that the old settings caused.

    Raises `DomainError` for an unknown portal, `TextError` for a sender that is not a mailbox, and `PasswordNeeded`.
    """
    clean_email(parseaddr(server.sender)[1])
    with transaction() as session:
        if session.get(Portal, portal_id) is None:
            raise DomainError(_("There is no portal with the id %(id)s.", id=portal_id))
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
                reply_to=server.reply_to,
                per_second=server.per_second,
                uses_bounce_address=server.uses_bounce_address,
            )
        )
        resume(portal_id)
        send_after_commit(session, mail_queued)


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
        raise PasswordNeeded(_("Enter the password for this server: none is kept for it."))
    return former.encrypted_password


def drop_own_server(portal_id: str) -> None:
    """Send a portal's mails through the deployment's mail server again. Raises `DomainError` if it has none."""
    with transaction() as session:
        row = session.get(PortalMailServer, portal_id)
        if row is None:
            raise DomainError(_("The portal %(id)s has no mail server of its own.", id=portal_id))
        session.delete(row)
        resume(portal_id)
        send_after_commit(session, mail_queued)
