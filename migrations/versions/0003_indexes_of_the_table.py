"""indexes of the table"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("imported_client", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_imported_client_portal_id_company_name_folded_id"),
            ["portal_id", "company_name_folded", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_imported_client_portal_id_email_last_sent_at_id"),
            ["portal_id", "email_last_sent_at", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_imported_client_portal_id_joined_at"),
            ["portal_id", "joined_at"],
            unique=False,
            sqlite_where=sa.text("joined_at IS NOT NULL"),
            postgresql_where=sa.text("joined_at IS NOT NULL"),
        )
        batch_op.create_index(
            batch_op.f("ix_imported_client_portal_id_link_expires_at"),
            ["portal_id", "link_expires_at"],
            unique=False,
            sqlite_where=sa.text("status = 'invite_sent'"),
            postgresql_where=sa.text("status = 'invite_sent'"),
        )
        batch_op.create_index(
            batch_op.f("ix_imported_client_portal_id_status_id"), ["portal_id", "status", "id"], unique=False
        )

    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_mail_portal_id_state"), ["portal_id", "state"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_mail_portal_id_state"))

    with op.batch_alter_table("imported_client", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_imported_client_portal_id_status_id"))
        batch_op.drop_index(
            batch_op.f("ix_imported_client_portal_id_link_expires_at"),
            sqlite_where=sa.text("status = 'invite_sent'"),
            postgresql_where=sa.text("status = 'invite_sent'"),
        )
        batch_op.drop_index(
            batch_op.f("ix_imported_client_portal_id_joined_at"),
            sqlite_where=sa.text("joined_at IS NOT NULL"),
            postgresql_where=sa.text("joined_at IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_imported_client_portal_id_email_last_sent_at_id"))
        batch_op.drop_index(batch_op.f("ix_imported_client_portal_id_company_name_folded_id"))
