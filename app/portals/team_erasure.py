"""Takes erased people out of what is kept about teams: open invitations, and the mails that name them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, or_, true
from sqlalchemy.orm import Session

from app.models import ColleagueInvitation, MailKind, OutboxMail

_NAMED = ("person_email", "actor_email", "inviter_email")
_KINDS = (
    MailKind.COLLEAGUE_INVITATION,
    MailKind.ROLE_NOTICE,
    MailKind.SERVER_NOTICE,
    MailKind.SECOND_FACTOR_REQUIRED,
)


def forget_in_team(session: Session, emails: Collection[str], portal_id: str | None = None) -> None:
    """Delete the open invitations of colleagues with these addresses, and the mails about teams that name them.

    In one portal, or in all. In the caller's transaction. Invitations that the person has sent count no more: their
    mails are deleted, too.
    """
    invited = ColleagueInvitation.email.in_(emails), ColleagueInvitation.accepted_at.is_(None)
    named = (OutboxMail.params[name].as_string().in_(emails) for name in _NAMED)
    names_them = or_(OutboxMail.recipient.in_(emails), *named)
    for model, conditions in (
        (ColleagueInvitation, invited),
        (OutboxMail, (OutboxMail.kind.in_(_KINDS), names_them)),
    ):
        is_there = true() if portal_id is None else model.portal_id == portal_id
        session.execute(delete(model).where(*conditions, is_there).execution_options(synchronize_session=False))
