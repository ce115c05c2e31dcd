"""The mail that invites a colleague to a portal's team. It goes through the deployment's mail server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import exists, update

from app.branding.policy import PortalPolicy
from app.core.links import LinkClaim, LinkKind, make_url
from app.core.text import defuse_links
from app.extensions import db
from app.models import ColleagueInvitation, MailKind, Membership, OutboxMail, Portal, Role, User
from app.outbox.enqueue import enqueue
from app.outbox.kinds import MailRules, Policies, there_is
from app.outbox.leased_email import LeasedEmail, MailContent
from app.outbox.render import expiry_text

IS_BACKED = exists().where(
    Membership.portal_id == ColleagueInvitation.portal_id,
    Membership.user_id == ColleagueInvitation.invited_by_id,
    Membership.role == Role.CLIENT_ADMIN,
    User.id == Membership.user_id,
    User.disabled_at.is_(None),
)
"""Whether who has sent an invitation is a client admin still. Otherwise somebody whose role is taken could come back by
an invitation that they have sent to themselves."""


def queue_colleague_invitation(invitation: ColleagueInvitation, *, replaces: bool) -> None:
    """Enqueue the current link of an invitation, in the caller's transaction.

    `replaces`: the colleague has got, or may have got, an earlier one.
    """
    inviter = db.session.get_one(User, invitation.invited_by_id)
    mail = enqueue(
        MailKind.COLLEAGUE_INVITATION,
        portal_id=invitation.portal_id,
        generation=invitation.generation,
        recipient=invitation.email,
        params={
            "portal_name": db.session.get_one(Portal, invitation.portal_id).name,
            "inviter_name": inviter.name,
            "inviter_email": inviter.email,
            "role": invitation.role.value,
            "invitation_id": invitation.id.hex,
            "replaces": "yes" if replaces else "",
        },
    )
    invitation.mail_id = mail.id


class ColleagueInvitationRules(MailRules):
    """The outbox's rules for invitations of colleagues."""

    link_kind = LinkKind.COLLEAGUE
    still_wanted = there_is(
        ColleagueInvitation.mail_id == OutboxMail.id,
        ColleagueInvitation.accepted_at.is_(None),
        ColleagueInvitation.registered_generation.is_distinct_from(ColleagueInvitation.generation),
        IS_BACKED,
    )

    def link(self, mail: MailContent) -> str:
        subject = f"{mail.portal_id}.{mail.params['invitation_id']}"
        return make_url(self.link_kind, LinkClaim(subject, mail.generation))

    def context(self, mail: MailContent, at: datetime, policy: PortalPolicy) -> dict[str, object]:
        lifetime = policy.link_lifetime
        return {
            "portal_name": defuse_links(mail.params["portal_name"]),
            "inviter_name": defuse_links(mail.params["inviter_name"]),
            "inviter_email": mail.params["inviter_email"],
            "role": mail.params["role"],
            "replaces": bool(mail.params["replaces"]),
            "recipient": mail.recipient,
            "expires_on": expiry_text(at + lifetime),
            # 0 if it is no whole number of days, because then the mail cannot say it in days.
            "valid_days": 0 if lifetime % timedelta(days=1) else lifetime.days,
        }

    def on_sent(self, mails: Sequence[LeasedEmail], at: datetime, policies: Policies) -> None:
        for mail in mails:
            db.session.execute(
                update(ColleagueInvitation)
                .where(ColleagueInvitation.mail_id == mail.id)
                .values(invited_at=at, link_expires_at=at + policies[mail.portal_id].link_lifetime)
                .execution_options(synchronize_session=False)
            )
