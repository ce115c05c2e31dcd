"""The admin's verbs on imported clients. Each call is one transaction: rows and mails together, or neither."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from app import history, throttle
from app.clock import now
from app.database import transaction
from app.extensions import db
from app.invitations.mails import queue_invitation
from app.models import EventKind, ImportedClient, MailState, OutboxMail, Portal, User
from app.problems import Conflict, NotFound
from app.text import fold

ADDS_OF_ADMIN = throttle.Limit("add-client", 600, timedelta(minutes=1))
"""Manual adds and imports of one admin in one portal; an import counts once, whatever its length."""
_RESENDS_OF_ADMIN = throttle.Limit("resend-admin", 300, timedelta(minutes=1))
_MAILS_TO_RECIPIENT = throttle.Limit("invite-recipient", 20, timedelta(hours=1))


def add_client(portal_id: str, actor_id: int, company_name: str, email: str) -> None:
    """Add one client and queue its invitation; nothing at all if the address is in the table already.

    `company_name` and `email` are clean (`app.text`). Whether the address was new cannot be told from outside, so
    nothing is returned. Raises `TooManyRequests`.
    """
    with transaction() as session:
        throttle.check(ADDS_OF_ADMIN, f"{portal_id} {actor_id}")
        throttle.check(_MAILS_TO_RECIPIENT, f"{portal_id} {email}")
        throttle.count(ADDS_OF_ADMIN, f"{portal_id} {actor_id}")
        client = ImportedClient(
            portal_id=portal_id,
            company_name=company_name,
            company_name_folded=fold(company_name),
            email=email,
            generation=1,
            invited_by_id=actor_id,
        )
        try:
            with session.begin_nested():
                session.add(client)
        except IntegrityError:
            # The address is there already, or two admins added it at this very moment and the other one was
            # first: the unique constraint decides, and either way there is one row and one mail.
            return
        history.record(client, EventKind.INVITED, actor_id=actor_id)
        _queue_mail(client, actor_id)


def resend_invite(portal_id: str, client_id: UUID, actor_id: int) -> None:
    """Make the next invitation of a pending client and queue its mail; every older link is dead from here on.

    Raises `NotFound`, `Conflict` when the client has joined, `TooManyRequests`.
    """
    with transaction() as session:
        client = _locked_client(portal_id, client_id)
        if client.is_joined:
            raise Conflict(
                _("%(company)s has joined in the meantime, so no invitation was sent.", company=client.company_name)
            )
        throttle.check(_RESENDS_OF_ADMIN, f"{portal_id} {actor_id}")
        throttle.check(_MAILS_TO_RECIPIENT, f"{portal_id} {client.email}")
        throttle.count(_RESENDS_OF_ADMIN, f"{portal_id} {actor_id}")
        client.generation += 1
        client.invited_by_id = actor_id
        client.email_last_sent_at = now()
        client.link_expires_at = None
        client.link_lapsed_at = None
        # The older mail, if it still waits, would carry a dead link.
        session.execute(
            delete(OutboxMail).where(
                OutboxMail.portal_id == portal_id,
                OutboxMail.client_id == client_id,
                OutboxMail.state == MailState.QUEUED,
            )
        )
        history.record(client, EventKind.RESENT, actor_id=actor_id)
        _queue_mail(client, actor_id)


def remove_client(portal_id: str, client_id: UUID, actor_id: int) -> None:
    """Delete a pending client for good; its mails go with it, and its links are dead.

    The history keeps that it happened, without personal data. Raises `NotFound`, `Conflict` when it has joined.
    """
    with transaction() as session:
        client = _locked_client(portal_id, client_id)
        if client.is_joined:
            raise Conflict(
                _("%(company)s has joined in the meantime, so it was not removed.", company=client.company_name)
            )
        history.record(client, EventKind.REMOVED, actor_id=actor_id)
        history.forget_details(portal_id, client_id)
        session.delete(client)


def _locked_client(portal_id: str, client_id: UUID) -> ImportedClient:
    client = db.session.get(ImportedClient, (portal_id, client_id), with_for_update=True)
    if client is None:
        raise NotFound
    return client


def _queue_mail(client: ImportedClient, actor_id: int) -> None:
    portal = db.session.get_one(Portal, client.portal_id)
    actor = db.session.get_one(User, actor_id)
    throttle.count(_MAILS_TO_RECIPIENT, f"{client.portal_id} {client.email}")
    queue_invitation(client, portal, actor)
