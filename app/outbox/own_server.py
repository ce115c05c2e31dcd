"""A portal's own mail server: setting it, and taking it away."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parseaddr

from flask_babel import gettext as _

from app.database import transaction
from app.models import Portal, PortalMailServer, TlsMode
from app.outbox.servers import resume
from app.outbox.services import wake_after_commit
from app.problems import Problem
from app.seal import seal
from app.text import clean_email


@dataclass(frozen=True)
class OwnServer:
    """Where a portal's mails are handed over, and as whose."""

    host: str
    port: int
    tls: TlsMode
    sender: str
    """One mailbox, with or without a display name."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    per_second: float | None = None


def save_own_server(portal_id: str, server: OwnServer) -> None:
    """Let a portal's mails go through this server from now on; a pause that was for the old settings is over.

    Raises `Problem` for an unknown portal, `TextError` for a sender that is no mailbox.
    """
    clean_email(parseaddr(server.sender)[1])
    with transaction() as session:
        if session.get(Portal, portal_id) is None:
            raise Problem(_("There is no portal with the id %(id)s.", id=portal_id))
        session.merge(
            PortalMailServer(
                portal_id=portal_id,
                host=server.host,
                port=server.port,
                tls=server.tls,
                username=server.username,
                sealed_password=seal(server.password) if server.password else None,
                sender=server.sender,
                per_second=server.per_second,
            )
        )
        resume(portal_id)
        wake_after_commit(session)


def drop_own_server(portal_id: str) -> None:
    """Let a portal's mails go through the deployment's mail server again. Raises `Problem` if it has no own one."""
    with transaction() as session:
        row = session.get(PortalMailServer, portal_id)
        if row is None:
            raise Problem(_("The portal %(id)s has no mail server of its own.", id=portal_id))
        session.delete(row)
        resume(portal_id)
        wake_after_commit(session)
