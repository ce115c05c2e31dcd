"""invitations of colleagues, when members were last seen, and the notices of roles and mail servers"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0030"
down_revision = "0029"
# A new table and a new column that may be empty. An older worker cannot read the new kinds of mails: where it meets one
# it gives its batch back, and a newer worker sends it. So stop older workers before anybody invites a colleague.
older_code_may_run = True

_BEFORE = "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest', 'sign_in_locked'"
_NEW = "'colleague_invitation', 'role_notice', 'server_notice'"


def upgrade() -> None:
    lock_tables("membership", "outbox_mail", refers_to=("portal", "user_account"))
    op.create_table(
        "colleague_invitation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("invited_by_id", sa.Integer(), nullable=True),
        sa.Column("invited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mail_id", sa.Uuid(), nullable=True),
        sa.Column("link_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("registered_generation", sa.Integer(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('client_admin', 'staff')", name=op.f("ck_colleague_invitation_role")),
        sa.CheckConstraint("generation >= 1", name=op.f("ck_colleague_invitation_generation")),
        sa.CheckConstraint(
            "accepted_at IS NULL OR user_id IS NOT NULL", name=op.f("ck_colleague_invitation_accepted_user")
        ),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_colleague_invitation_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["invited_by_id"],
            ["user_account.id"],
            name=op.f("fk_colleague_invitation_invited_by_id_user_account"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
            name=op.f("fk_colleague_invitation_user_id_user_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_colleague_invitation")),
        sa.UniqueConstraint("portal_id", "email", name=op.f("uq_colleague_invitation_portal_id_email")),
    )
    op.create_index(op.f("ix_colleague_invitation_invited_by_id"), "colleague_invitation", ["invited_by_id"])
    op.create_index(op.f("ix_colleague_invitation_user_id"), "colleague_invitation", ["user_id"])
    op.add_column("membership", sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True))
    _allow(f"{_BEFORE}, {_NEW}")


def downgrade() -> None:
    op.execute(f"DELETE FROM outbox_mail WHERE kind IN ({_NEW})")  # noqa: S608 - names of ours
    _allow(_BEFORE)
    op.drop_column("membership", "last_seen_at")
    op.drop_table("colleague_invitation")


def _allow(kinds: str) -> None:
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_outbox_mail_kind"), type_="check")
        batch_op.create_check_constraint(batch_op.f("ck_outbox_mail_kind"), f"kind IN ({kinds})")
