"""what the invitee says: not for me, a fresh link; reminders; notices of who joined"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_EVENTS_BEFORE = "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed', 'expired', 'registered', 'verified', 'joined', 'removed'"
_EVENTS_AFTER = "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed', 'expired', 'reminded', 'declined', 'requested', 'registered', 'verified', 'joined', 'removed'"
_MAILS_BEFORE = "'invitation', 'verification', 'password_reset'"
_MAILS_AFTER = "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest'"
_NOTICED = sa.text("join_notice IS NOT NULL")


def upgrade() -> None:
    _allow("client_event", _EVENTS_AFTER)
    _allow("outbox_mail", _MAILS_AFTER)
    op.add_column("imported_client", sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("imported_client", sa.Column("declined_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("portal", sa.Column("sends_reminders", sa.Boolean(), nullable=True))
    op.add_column("portal", sa.Column("gives_fresh_links", sa.Boolean(), nullable=True))
    op.execute(sa.text("UPDATE portal SET sends_reminders = false, gives_fresh_links = true"))
    with op.batch_alter_table("portal", schema=None) as batch_op:
        batch_op.alter_column("sends_reminders", existing_type=sa.Boolean(), nullable=False)
        batch_op.alter_column("gives_fresh_links", existing_type=sa.Boolean(), nullable=False)
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.add_column(sa.Column("join_notice", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("digest_from", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_check_constraint(batch_op.f("ck_membership_join_notice"), "join_notice IN ('at_once', 'daily')")
        batch_op.create_check_constraint(
            batch_op.f("ck_membership_join_notice_role"), "join_notice IS NULL OR role = 'client_admin'"
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_membership_digest_from"), "join_notice <> 'daily' OR digest_from IS NOT NULL"
        )
        batch_op.create_index(
            batch_op.f("ix_membership_join_notice_portal_id"),
            ["join_notice", "portal_id"],
            unique=False,
            sqlite_where=_NOTICED,
            postgresql_where=_NOTICED,
        )


def downgrade() -> None:
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.drop_index(
            batch_op.f("ix_membership_join_notice_portal_id"), sqlite_where=_NOTICED, postgresql_where=_NOTICED
        )
        batch_op.drop_constraint(batch_op.f("ck_membership_digest_from"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_membership_join_notice_role"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_membership_join_notice"), type_="check")
        batch_op.drop_column("digest_from")
        batch_op.drop_column("join_notice")
    with op.batch_alter_table("portal", schema=None) as batch_op:
        batch_op.drop_column("gives_fresh_links")
        batch_op.drop_column("sends_reminders")
    with op.batch_alter_table("imported_client", schema=None) as batch_op:
        batch_op.drop_column("declined_at")
        batch_op.drop_column("reminded_at")
    # What comes nearest: who asks for a new invitation is invited again. The older schema knows nothing like the rest.
    op.execute("UPDATE client_event SET kind = 'resent' WHERE kind = 'requested'")
    op.execute("DELETE FROM client_event WHERE kind IN ('reminded', 'declined')")
    op.execute("DELETE FROM outbox_mail WHERE kind IN ('reminder', 'join_notice', 'join_digest')")
    _allow("outbox_mail", _MAILS_BEFORE)
    _allow("client_event", _EVENTS_BEFORE)


def _allow(table: str, kinds: str) -> None:
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f(f"ck_{table}_kind"), type_="check")
        batch_op.create_check_constraint(batch_op.f(f"ck_{table}_kind"), f"kind IN ({kinds})")
