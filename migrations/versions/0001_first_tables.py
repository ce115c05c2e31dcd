"""first tables"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "portal",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(id) BETWEEN 1 AND 32", name=op.f("ck_portal_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_portal")),
    )
    op.create_table(
        "throttle_hit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_throttle_hit")),
    )
    with op.batch_alter_table("throttle_hit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_throttle_hit_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_throttle_hit_key_at"), ["key", "at"], unique=False)

    op.create_table(
        "user_account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("name_folded", sa.String(length=400), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verification_generation", sa.Integer(), nullable=False),
        sa.Column("verification_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reset_generation", sa.Integer(), nullable=False),
        sa.Column("reset_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sa.UniqueConstraint("email", name=op.f("uq_user_account_email")),
    )
    op.create_table(
        "client_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=True),
        sa.Column("detail", sa.String(length=500), nullable=True),
        sa.CheckConstraint(
            "kind IN ('invited', 'resent', 'mail_queued', 'mail_sent', 'mail_failed', 'expired', 'registered', 'verified', 'joined', 'removed')",
            name=op.f("ck_client_event_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["user_account.id"], name=op.f("fk_client_event_actor_id_user_account"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_client_event_portal_id_portal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_event")),
    )
    with op.batch_alter_table("client_event", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_client_event_portal_id_client_id_id"), ["portal_id", "client_id", "id"], unique=False
        )

    op.create_table(
        "client_import",
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=True),
        sa.Column("file_name", sa.String(length=255), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["user_account.id"], name=op.f("fk_client_import_actor_id_user_account"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_client_import_portal_id_portal")),
        sa.PrimaryKeyConstraint("portal_id", "id", name=op.f("pk_client_import")),
    )
    op.create_table(
        "login_session",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_login_session_user_id_user_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_session")),
    )
    with op.batch_alter_table("login_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_login_session_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_login_session_user_id"), ["user_id"], unique=False)

    op.create_table(
        "membership",
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('client_admin', 'staff', 'client')", name=op.f("ck_membership_role")),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_membership_portal_id_portal")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_membership_user_id_user_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", "user_id", name=op.f("pk_membership")),
    )
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_membership_user_id"), ["user_id"], unique=False)

    op.create_table(
        "imported_client",
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("company_name", sa.String(length=100), nullable=False),
        sa.Column("company_name_folded", sa.String(length=400), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=True),
        sa.Column("email_last_sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("invited_by_id", sa.Integer(), nullable=True),
        sa.Column("link_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("link_lapsed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("registered_generation", sa.Integer(), nullable=True),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(status = 'joined') = (joined_at IS NOT NULL)", name=op.f("ck_imported_client_joined_at")),
        sa.CheckConstraint("status <> 'joined' OR user_id IS NOT NULL", name=op.f("ck_imported_client_joined_user")),
        sa.CheckConstraint("status IN ('invite_sent', 'joined')", name=op.f("ck_imported_client_status")),
        sa.CheckConstraint("generation >= 1", name=op.f("ck_imported_client_generation")),
        sa.ForeignKeyConstraint(
            ["invited_by_id"],
            ["user_account.id"],
            name=op.f("fk_imported_client_invited_by_id_user_account"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["portal_id", "import_id"],
            ["client_import.portal_id", "client_import.id"],
            name=op.f("fk_imported_client_portal_id_import_id_client_import"),
        ),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_imported_client_portal_id_portal")),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_imported_client_user_id_user_account")),
        sa.PrimaryKeyConstraint("portal_id", "id", name=op.f("pk_imported_client")),
        sa.UniqueConstraint("portal_id", "email", name=op.f("uq_imported_client_portal_id_email")),
    )
    with op.batch_alter_table("imported_client", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_imported_client_import_id_portal_id"), ["import_id", "portal_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_imported_client_user_id"), ["user_id"], unique=False)

    op.create_table(
        "outbox_mail",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("portal_id", sa.String(length=32), nullable=True),
        sa.Column("client_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.String(length=254), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("message_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(length=500), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('invitation', 'verification', 'password_reset')", name=op.f("ck_outbox_mail_kind")
        ),
        sa.CheckConstraint("state IN ('queued', 'sending', 'sent', 'failed')", name=op.f("ck_outbox_mail_state")),
        sa.ForeignKeyConstraint(
            ["portal_id", "client_id"],
            ["imported_client.portal_id", "imported_client.id"],
            name=op.f("fk_outbox_mail_portal_id_client_id_imported_client"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_outbox_mail_portal_id_portal")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_outbox_mail_user_id_user_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_mail")),
        sa.UniqueConstraint(
            "client_id",
            "portal_id",
            "kind",
            "generation",
            name=op.f("uq_outbox_mail_client_id_portal_id_kind_generation"),
        ),
        sa.UniqueConstraint("user_id", "kind", "generation", name=op.f("uq_outbox_mail_user_id_kind_generation")),
    )
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_mail_state_due_at"), ["state", "due_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_mail_state_due_at"))

    op.drop_table("outbox_mail")
    with op.batch_alter_table("imported_client", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_imported_client_user_id"))
        batch_op.drop_index(batch_op.f("ix_imported_client_import_id_portal_id"))

    op.drop_table("imported_client")
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_membership_user_id"))

    op.drop_table("membership")
    with op.batch_alter_table("login_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_login_session_user_id"))
        batch_op.drop_index(batch_op.f("ix_login_session_expires_at"))

    op.drop_table("login_session")
    op.drop_table("client_import")
    with op.batch_alter_table("client_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_client_event_portal_id_client_id_id"))

    op.drop_table("client_event")
    op.drop_table("user_account")
    with op.batch_alter_table("throttle_hit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_throttle_hit_key_at"))
        batch_op.drop_index(batch_op.f("ix_throttle_hit_at"))

    op.drop_table("throttle_hit")
    op.drop_table("portal")
