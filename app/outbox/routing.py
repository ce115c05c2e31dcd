"""The route of a portal's mails: which mail server they go through, and whether that server is paused.

A server that is itself at fault (away, wrong password, untrusted certificate) is paused for all workers, with a reason
for people to read. When the pause is over, one worker tries the server with one mail. The result ends the pause or
begins the next one. So the mails are not counted as failed, and nobody has to press a button.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from flask import current_app
from sqlalchemy import Select, delete, func, literal, or_, select, update

from app.core.encryption import DecryptionFailed, decrypt
from app.core.redaction import redact
from app.core.stored_texts import stored
from app.db.bulk_insert import insert_or
from app.extensions import db
from app.models import MailServerState, Portal, PortalMailServer
from app.models.types import db_now
from app.net.dialer import AddressRule, PublicOrIn, any_address
from app.outbox.bounce_address import bounce_address
from app.outbox.errors import ServerFailure, ServerUnavailable
from app.outbox.smtp_session import MailServer
from app.queue.leases import timings
from config import Settings

_OTHER_KEY = stored("The mail server's password can't be read because this service's key has changed. Enter it again.")
DEPLOYMENT = ""
"""The key of the deployment's own mail server. The key of a portal's server is the portal's id."""

_TURNS_KEPT_SECONDS = 0.1


@dataclass(frozen=True)
class Route:
    """A mail server and what is needed to send through it."""

    key: str
    server: MailServer
    sender: str
    """The From header of mails on this route: one mailbox, in the form of `email.utils.formataddr`."""
    connections: int
    """How many connections a process may open to it."""
    permits: AddressRule = any_address
    per_second: float | None = None
    bounce_address: str | None = None
    """The address from which each mail's envelope sender is made (`app.outbox.bounce_address`). None: the sender's."""
    fault: str | None = None
    """Why the server cannot even be tried. None if it can."""


@dataclass(frozen=True)
class Pause:
    """A mail server is at fault: since when, why, and when it is tried again."""

    since: datetime
    reason: str
    until: datetime


def routes_of(portal_ids: Collection[str | None]) -> dict[str | None, Route]:
    """The route of each portal's mails. None stands for mails of no portal. A portal without a route is left out."""
    settings: Settings = current_app.config["SETTINGS"]
    named = [portal_id for portal_id in portal_ids if portal_id is not None]
    own = db.session.scalars(select(PortalMailServer).where(PortalMailServer.portal_id.in_(named))) if named else ()
    routes: dict[str | None, Route] = {row.portal_id: _own_route(row, settings) for row in own}
    common = deployment_route(settings)
    if common is not None:
        routes = dict.fromkeys(portal_ids, common) | routes
    return routes


def sends_account_mails() -> bool:
    """Whether there is a server for mails about accounts, which never go through a portal's own server."""
    return route_of(None) is not None


def route_of(portal_id: str | None) -> Route | None:
    """The route of one portal's mails, or None if it has none."""
    return routes_of([portal_id]).get(portal_id)


def deployment_route(settings: Settings) -> Route | None:
    """The route through the mail server of the settings, or None if they name no server."""
    mail = settings.mail
    if mail is None:
        return None
    server = MailServer(
        host=mail.server,
        port=mail.port,
        tls="ssl" if mail.use_ssl else "starttls" if mail.use_tls else "none",
        username=mail.username,
        password=mail.password,
    )
    return Route(
        DEPLOYMENT,
        server,
        settings.mail_default_sender,
        settings.outbox_connections,
        per_second=settings.mail_max_per_second,
        bounce_address=settings.mail_bounce_address,
    )


def envelope_sender(route: Route, mail_id: UUID) -> str | None:
    """The envelope sender of a mail on this route, if it differs from the From header."""
    return bounce_address(route.bounce_address, mail_id) if route.bounce_address else None


def _own_route(row: PortalMailServer, settings: Settings) -> Route:
    password = fault = None
    try:
        password = decrypt(row.encrypted_password) if row.encrypted_password else None
    except DecryptionFailed:
        fault = _OTHER_KEY
    return Route(
        row.portal_id,
        MailServer(row.host, row.port, row.tls.value, row.username, password),
        row.sender,
        settings.outbox_connections,
        permits=PublicOrIn(settings.mail_allowed_networks),
        per_second=row.per_second,
        bounce_address=settings.mail_bounce_address if row.uses_bounce_address else None,
        fault=fault,
    )


# Pauses


def pauses_of(portal_id: str) -> tuple[Pause | None, Pause | None]:
    """The pause that holds up a portal's mails now, and the one that holds up mails about accounts."""
    found = _pauses(select(MailServerState).where(MailServerState.server.in_([portal_id, DEPLOYMENT])))
    if not found:  # nearly always, and then this one query is enough
        return None, None
    routes = routes_of([portal_id, None])
    keys = [route.key if (route := routes.get(one)) else "no server" for one in (portal_id, None)]
    return found.get(keys[0]), found.get(keys[1])


class Circuit(Enum):
    """The state of a server's circuit breaker: whether mails may go to it."""

    CLOSED = "closed"
    """Mails flow."""
    OPEN = "open"
    """The server is paused."""
    HALF_OPEN = "half-open"
    """The pause is over. One worker may try the server with one mail."""


def paused_servers() -> dict[str, Pause]:
    """The mail servers that are at fault now, by the keys of their routes."""
    state = MailServerState
    return _pauses(select(state).where(state.paused_since.is_not(None)).order_by(state.server))


def _pauses(query: Select[MailServerState]) -> dict[str, Pause]:
    return {
        row.server: Pause(row.paused_since, row.reason or "", row.paused_until)
        for row in db.session.scalars(query.execution_options(populate_existing=True))
        if row.paused_since is not None and row.paused_until is not None
    }


def fault_of(key: str) -> str | None:
    """Why a server is paused. None if it is not."""
    return db.session.scalar(select(MailServerState.reason).where(MailServerState.server == key))


def circuits_of(keys: Collection[str]) -> dict[str, Circuit]:
    """The circuit of each of these servers at this moment, by the database's clock."""
    found = db.session.execute(
        select(MailServerState.server, (MailServerState.paused_until > db_now()).label("is_paused")).where(
            MailServerState.server.in_(keys), MailServerState.paused_until.is_not(None)
        )
    )
    at_fault = {row.server: Circuit.OPEN if row.is_paused else Circuit.HALF_OPEN for row in found}
    return {key: at_fault.get(key, Circuit.CLOSED) for key in keys}


def claim_probe(key: str) -> str | None:
    """Claim, in the caller's transaction, the right to try a server whose pause is over.

    Returns the reason of the pause, or None if another worker has the right. Only one worker succeeds.
    """
    return db.session.scalar(
        update(MailServerState)
        .where(MailServerState.server == key, MailServerState.paused_until <= db_now())
        .values(paused_until=db_now(timings().probe))
        .returning(func.coalesce(MailServerState.reason, ""))
    )


def pause(key: str, error: ServerFailure, *, until_next_mail: bool = False, is_probe: bool = True) -> None:
    """Pause a server that was found at fault, in the caller's transaction.

    `until_next_mail`: it may be tried with another mail at once. `is_probe`: whether it was tried after a pause. If it
    was not, and is paused already, nothing changes: several workers have met the same fault, which is one fault.
    """
    _know(key)
    faults = db.session.scalar(select(MailServerState.faults).where(MailServerState.server == key)) or 0
    pauses = timings().misconfigured_pauses
    is_away = isinstance(error, ServerUnavailable)
    seconds = timings().unavailable_pause if is_away else pauses[min(faults, len(pauses) - 1)]
    state = MailServerState
    db.session.execute(
        update(state)
        .where(
            state.server == key, or_(literal(is_probe), state.paused_until.is_(None), state.paused_until <= db_now())
        )
        .values(
            paused_until=db_now(0 if until_next_mail else seconds),
            paused_since=func.coalesce(state.paused_since, db_now()),
            faults=state.faults + (0 if until_next_mail else 1),
            # A server may quote a recipient, whom the reason of a pause is not about.
            reason=redact(error.reason),
        )
    )


def resume(key: str) -> None:
    """End a server's pause, in the caller's transaction: it has taken a mail, or its settings were changed."""
    db.session.execute(
        update(MailServerState)
        .where(MailServerState.server == key)
        .values(paused_until=None, paused_since=None, faults=0, reason=None)
    )


def prune_states() -> None:
    """Delete the states of portals that are gone: a worker may have written one while its portal was deleted."""
    is_portals = MailServerState.server.in_(select(Portal.id))
    db.session.execute(delete(MailServerState).where(MailServerState.server != DEPLOYMENT, ~is_portals))


# Rates


def take_turns(key: str, per_second: float, wanted: int) -> tuple[int, float]:
    """How many of the wanted mails a server with a rate limit may get now, and in how many seconds it may get the next.

    In the caller's transaction. All workers together keep to the rate. Unused turns are lost, except those of the last
    tenth of a second, because mails are handed out in small batches.
    """
    _know(key)
    query = select(MailServerState).where(MailServerState.server == key).with_for_update()
    state = db.session.scalars(query.execution_options(populate_existing=True)).one()
    at = db.session.scalars(select(db_now())).one()
    earliest = at - timedelta(seconds=_TURNS_KEPT_SECONDS)
    # Not later than this rate allows. The rate may have been lower before, or the clock may have gone back.
    latest = at + timedelta(seconds=1 / per_second)
    turn = min(max(state.next_mail_at or earliest, earliest), latest)
    past = (at - turn).total_seconds()
    granted = min(wanted, int(past * per_second) + 1) if past >= 0 else 0
    state.next_mail_at = turn + timedelta(seconds=granted / per_second)
    return granted, max(0.0, (state.next_mail_at - at).total_seconds())


def _know(key: str) -> None:
    """Create the server's row if it does not exist, even if another transaction creates it at the same moment."""
    row = insert_or(db.session(), MailServerState).values(server=key, faults=0)
    db.session.execute(row.on_conflict_do_nothing())
