"""invitations of colleagues"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0030"
down_revision = "0029b"
# A new table. An older worker cannot read the new kinds of mails: where it meets one it gives its batch back, and a newer
# worker sends it. So stop older workers before anybody invites a colleague.
older_code_may_run = True


def upgrade() -> None:
    lock_tables(refers_to=("portal", "user_account"))
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


def downgrade() -> None:
    op.drop_table("colleague_invitation")
