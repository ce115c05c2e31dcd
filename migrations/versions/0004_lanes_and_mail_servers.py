"""lanes of the outbox, and what is known of mail servers"""

import sqlalchemy as sa
from alembic import op

from app.clock import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "portal_mail_server",
        sa.Column("portal_id", sa.String(32), nullable=False),
        sa.Column("host", sa.String(253), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("tls", sa.String(32), nullable=False),
        sa.Column("username", sa.String(254), nullable=True),
        sa.Column("sealed_password", sa.String(2000), nullable=True),
        sa.Column("sender", sa.String(400), nullable=False),
        sa.Column("per_second", sa.Float(), nullable=True),
        sa.CheckConstraint("tls IN ('none', 'starttls', 'ssl')", name=op.f("ck_portal_mail_server_tls")),
        sa.CheckConstraint("port BETWEEN 1 AND 65535", name=op.f("ck_portal_mail_server_port")),
        sa.CheckConstraint("per_second > 0", name=op.f("ck_portal_mail_server_per_second")),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_portal_mail_server_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", name=op.f("pk_portal_mail_server")),
    )
    op.create_table(
        "mail_server_state",
        sa.Column("server", sa.String(32), nullable=False),
        sa.Column("paused_until", UtcDateTime(), nullable=True),
        sa.Column("paused_since", UtcDateTime(), nullable=True),
        sa.Column("faults", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(500), nullable=True),
        sa.Column("next_mail_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("server", name=op.f("pk_mail_server_state")),
    )
    op.add_column("outbox_mail", sa.Column("lane", sa.String(40), nullable=True))
    op.execute(
        "UPDATE outbox_mail SET lane = coalesce(portal_id, '') ||"
        " CASE WHEN attempts > 0 THEN '/retried' WHEN kind = 'invitation' THEN '/fresh' ELSE '/awaited' END"
    )
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.alter_column("lane", existing_type=sa.String(40), nullable=False)
        batch_op.drop_index(batch_op.f("ix_outbox_mail_state_due_at"))
        batch_op.create_index(batch_op.f("ix_outbox_mail_state_lane_due_at"), ["state", "lane", "due_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_mail_state_lane_due_at"))
        batch_op.create_index(batch_op.f("ix_outbox_mail_state_due_at"), ["state", "due_at"], unique=False)
        batch_op.drop_column("lane")
    op.drop_table("mail_server_state")
    op.drop_table("portal_mail_server")
