"""Erasing what an account has left everywhere: as an inviter, in histories, in settings.

An account may have invited thousands of clients, and on SQLite nobody else can write during a transaction. So what
names the account is emptied in batches first (`detach`), and then the account is deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, or_, select, true, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.accounts.mentions import Person, mentions_of
from app.core.redaction import redact
from app.core.text import fold
from app.db.transactions import transaction
from app.extensions import db
from app.models import (
    Branding,
    ClientEvent,
    ClientImport,
    ColleagueInvitation,
    EndedAccess,
    EventKind,
    ImportedClient,
    MailKind,
    MailServerState,
    Membership,
    OutboxMail,
    Portal,
    PortalMailServer,
    Role,
    User,
    WebhookEndpoint,
)

_BATCH = 500


def belongs_to_a_portal(but_for: str | None = None) -> ColumnElement[bool]:
    """Whether an account belongs to any portal, or to another one than `but_for`.

    As a member, as a client, or because it was registered with a colleague's invitation. A portal that has ended its
    access counts as well: otherwise the person could come in again under a new account.
    """
    anywhere = (Membership, ImportedClient, ColleagueInvitation, EndedAccess)
    return or_(
        *(
            exists().where(one.user_id == User.id, one.portal_id != but_for if but_for is not None else true())
            for one in anywhere
        )
    )


def portals_without_admin(person: Person) -> Sequence[str]:
    """The ids of the portals that would have no client admin without this person's accounts.

    A disabled account is no admin that could act.
    """
    theirs = select(Membership.portal_id).where(
        Membership.user_id.in_(person.user_ids), Membership.role == Role.CLIENT_ADMIN
    )
    others = (
        select(Membership.portal_id)
        .join(Membership.user)
        .where(
            Membership.role == Role.CLIENT_ADMIN,
            Membership.user_id.not_in(person.user_ids),
            User.disabled_at.is_(None),
        )
    )
    query = select(Portal.id).where(Portal.id.in_(theirs), Portal.id.not_in(others)).order_by(Portal.id)
    return db.session.scalars(query).all()


def lock_admins(session: Session, person: Person) -> None:
    """Lock the client admins' roles in this person's portals, so that two who are erased at once count each other."""
    portals = select(Membership.portal_id).where(Membership.user_id.in_(person.user_ids))
    session.execute(
        select(Membership.portal_id)
        .where(Membership.portal_id.in_(portals), Membership.role == Role.CLIENT_ADMIN)
        .order_by(Membership.portal_id, Membership.user_id)
        .with_for_update()
    )


# Settings


def settings_that_name(person: Person, names: Collection[str]) -> Sequence[str]:
    """The settings of portals that hold one of the person's addresses or names and that we cannot decide about.

    Each as words for the operator. What a portal can do without is emptied instead: see `empty_settings`.
    """
    mentions = mentions_of(person, names)
    found = set()
    for model, columns in _TEXTS.items():
        for portal_id, *texts in db.session.execute(select(model.portal_id, *columns)):
            found |= {
                f"{_SETTING[column.key]} in portal {portal_id}"
                for column, text in zip(columns, texts, strict=True)
                if text and mentions.search(fold(text))
            }
    return sorted(found)


_TEXTS: dict[Any, tuple[InstrumentedAttribute[Any], ...]] = {
    PortalMailServer: (PortalMailServer.sender, PortalMailServer.username),
    Branding: (Branding.subject, Branding.greeting),
    WebhookEndpoint: (WebhookEndpoint.description, WebhookEndpoint.url),
}
_SETTING = {
    "sender": "the mail server's sender",
    "username": "the mail server's user name",
    "subject": "the subject of invitations",
    "greeting": "the greeting of invitations",
    "description": "a webhook endpoint's description",
    "url": "a webhook endpoint's address",
}


def empty_settings(session: Session, person: Person) -> None:
    """Empty the addresses of portals that are this person's: for replies, and for questions. In the caller's
    transaction."""
    session.execute(update(Portal).where(Portal.reply_to.in_(person.emails)).values(reply_to=None))
    session.execute(update(Branding).where(Branding.support_address.in_(person.emails)).values(support_address=None))


def forget_quoted(session: Session, emails: Collection[str]) -> None:
    """Mask these addresses where a mail server's words about itself quote them. In the caller's transaction."""
    for state in session.scalars(select(MailServerState).where(MailServerState.reason.is_not(None))):
        if any(email in (state.reason or "").lower() for email in emails):
            state.reason = redact(state.reason or "")


# What they did


def detach(person: Person) -> None:
    """Take a person out of what they did: invitations, imports, events, and the mails that name them as the inviter.

    In batches, one transaction each. It may be done again.
    """
    if not person.user_ids:
        return
    # Before the events, which say who invited whom.
    mail_ids = db.session.scalars(_mails_that_name(person).order_by(OutboxMail.id)).all()
    for start in range(0, len(mail_ids), _BATCH):
        with transaction() as session:
            _name_portal_instead(session, mail_ids[start : start + _BATCH])
    for column in (
        ImportedClient.invited_by_id,
        ClientEvent.actor_id,
        ClientImport.actor_id,
        ClientImport.taken_back_by_id,
        EndedAccess.ended_by_id,
    ):
        while _empty_some(column, person) == _BATCH:
            pass


def detach_rest(session: Session, person: Person) -> None:
    """The same for what was added since, in the caller's transaction, which has locked the clients they invited."""
    _name_portal_instead(session, session.scalars(_mails_that_name(person)).all())


def _mails_that_name(person: Person) -> Select[UUID]:
    """The mails to clients that name the person. Their events tell that too, if the person had another address then."""
    was_theirs = exists().where(
        ClientEvent.portal_id == OutboxMail.portal_id,
        ClientEvent.client_id == OutboxMail.client_id,
        ClientEvent.generation == OutboxMail.generation,
        ClientEvent.kind.in_((EventKind.INVITED, EventKind.RESENT, EventKind.CORRECTED)),
        ClientEvent.actor_id.in_(person.user_ids),
    )
    inviter = OutboxMail.params["inviter_email"].as_string()
    return select(OutboxMail.id).where(
        OutboxMail.kind.in_((MailKind.INVITATION, MailKind.REMINDER)),
        inviter != "",
        or_(inviter.in_(person.emails), was_theirs),
    )


def _name_portal_instead(session: Session, mail_ids: Sequence[UUID]) -> None:
    """Let mails say that their portal invites."""
    held = select(OutboxMail).where(OutboxMail.id.in_(mail_ids)).order_by(OutboxMail.id)
    for mail in session.scalars(held.with_for_update().execution_options(populate_existing=True)):
        mail.params = mail.params | {"inviter_name": mail.params["portal_name"], "inviter_email": ""}


def _empty_some(column: InstrumentedAttribute[int | None], person: Person) -> int:
    """Empty a column in some of the rows that name the person. Returns in how many.

    Rows that somebody else holds are left alone, since these are not locked in the order of their keys.
    """
    model = column.class_
    key = list(model.__table__.primary_key)
    some = select(*key).where(column.in_(person.user_ids)).limit(_BATCH).with_for_update(skip_locked=True)
    with transaction() as session:
        found = [tuple(row) for row in session.execute(some)]
        session.execute(
            update(model)
            .where(tuple_(*key).in_(found))
            .values({column: None})
            .execution_options(synchronize_session=False)
        )
    return len(found)


def roles_of(person: Person) -> Sequence[tuple[str, Role]]:
    """The person's roles: portal and role, ordered by portal."""
    query = select(Membership.portal_id, Membership.role).where(Membership.user_id.in_(person.user_ids))
    return [(row.portal_id, row.role) for row in db.session.execute(query.order_by(Membership.portal_id))]


def count_clients_of(person: Person) -> int:
    """In how many tables the person stands as a client."""
    theirs = or_(ImportedClient.email.in_(person.emails), ImportedClient.user_id.in_(person.user_ids))
    return db.session.scalar(select(func.count()).select_from(ImportedClient).where(theirs)) or 0
