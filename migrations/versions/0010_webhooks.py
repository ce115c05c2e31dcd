"""webhooks: endpoints of portals, and what they are told"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_LEASED = sa.text("lease_until IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "webhook_endpoint",
        sa.Column("portal_id", sa.String(32), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("description", sa.String(200), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed_secret", sa.String(500), nullable=False),
        sa.Column("secret_number", sa.Integer(), nullable=False),
        sa.Column("former_sealed_secret", sa.String(500), nullable=True),
        sa.Column("former_secret_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pause_reason", sa.String(500), nullable=True),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_webhook_endpoint_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", "id", name=op.f("pk_webhook_endpoint")),
        sa.UniqueConstraint("portal_id", "url", name=op.f("uq_webhook_endpoint_portal_id_url")),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("portal_id", sa.String(32), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("company_name", sa.String(100), nullable=True),
        sa.Column("email", sa.String(254), nullable=True),
        sa.Column("detail", sa.String(500), nullable=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_answer", sa.String(500), nullable=True),
        sa.Column("last_tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "event IN ('client.invited', 'client.delivery_failed', 'client.joined', 'client.removed', 'webhook.test')",
            name=op.f("ck_webhook_delivery_event"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'delivered', 'given_up')", name=op.f("ck_webhook_delivery_state")
        ),
        sa.ForeignKeyConstraint(
            ["portal_id", "endpoint_id"],
            ["webhook_endpoint.portal_id", "webhook_endpoint.id"],
            name=op.f("fk_webhook_delivery_portal_id_endpoint_id_webhook_endpoint"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint("message_id", name=op.f("uq_webhook_delivery_message_id")),
    )
    with op.batch_alter_table("webhook_delivery", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_endpoint_id_state_due_at_id"),
            ["endpoint_id", "state", "due_at", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_client_id_endpoint_id_id"),
            ["client_id", "endpoint_id", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_portal_id_state_id"), ["portal_id", "state", "id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_lease_until"),
            ["lease_until"],
            unique=False,
            sqlite_where=_LEASED,
            postgresql_where=_LEASED,
        )


def downgrade() -> None:
    op.drop_table("webhook_delivery")
    op.drop_table("webhook_endpoint")
