"""the audit trail of each portal"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
# New tables. What older code does meanwhile is missing in the trail.
older_code_may_run = True

_KINDS = (
    "'settings_changed', 'branding_changed', 'branding_published', 'branding_discarded', 'mail_server_changed',"
    " 'mail_tested', 'webhook_added', 'webhook_changed', 'webhook_removed', 'webhook_secret_rotated',"
    " 'webhook_tested', 'webhooks_retried', 'mails_retried', 'embedding_changed', 'role_given', 'role_changed',"
    " 'role_taken', 'colleague_invited', 'colleague_resent', 'colleague_withdrawn', 'access_ended',"
    " 'access_given_back', 'client_added', 'client_corrected', 'client_resent', 'client_removed', 'client_erased',"
    " 'clients_resent', 'clients_removed', 'import_made', 'import_taken_back', 'exported', 'signed_in',"
    " 'sign_in_failed', 'signed_out', 'sessions_ended', 'password_set', 'password_changed', 'email_changed',"
    " 'name_changed', 'second_factor_set', 'second_factor_removed', 'second_factor_reset', 'second_factor_required',"
    " 'recovery_codes_made', 'account_deleted', 'user_disabled', 'user_enabled', 'user_erased', 'portal_created',"
    " 'portal_renamed', 'portal_deleted'"
)
# Only lines that are older than the setting of the retention says, and than 30 days, may be deleted. Nobody else sets
# it, and it ends with the transaction.
_ON_POSTGRESQL = (
    """
    CREATE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        keep_days text := nullif(current_setting('imported_clients.audit_retention', true), '');
    BEGIN
        IF TG_OP = 'DELETE' AND keep_days IS NOT NULL THEN
            IF OLD.at < clock_timestamp() - make_interval(days => greatest(keep_days::integer, 30)) THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'audit_event is append-only' USING ERRCODE = 'integrity_constraint_violation';
    END
    $$
    """,
    """
    CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_event_append_only()
    """,
    """
    CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_append_only()
    """,
)
_ON_SQLITE = (
    """
    CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event
    BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END
    """,
    """
    CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event
    WHEN OLD.at >= strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 days')
    BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END
    """,
)


def upgrade() -> None:
    op.create_table(
        "audit_identity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("client_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_identity")),
    )
    op.create_index(op.f("ix_audit_identity_portal_id_user_id"), "audit_identity", ["portal_id", "user_id"])
    op.create_index(op.f("ix_audit_identity_portal_id_client_id"), "audit_identity", ["portal_id", "client_id"])
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=True),
        sa.Column("target_id", sa.Integer(), nullable=True),
        sa.Column("network", sa.String(length=43), nullable=True),
        sa.Column("change", sa.JSON(), nullable=False),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name=op.f("ck_audit_event_kind")),
        sa.CheckConstraint(
            "actor IN ('person', 'shell', 'command', 'job', 'nobody')", name=op.f("ck_audit_event_actor")
        ),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["audit_identity.id"], name=op.f("fk_audit_event_actor_id_audit_identity")
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["audit_identity.id"], name=op.f("fk_audit_event_target_id_audit_identity")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index(op.f("ix_audit_event_portal_id_id"), "audit_event", ["portal_id", "id"])
    op.create_index(op.f("ix_audit_event_actor_id"), "audit_event", ["actor_id"])
    op.create_index(op.f("ix_audit_event_target_id"), "audit_event", ["target_id"])
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _ON_POSTGRESQL if is_postgresql else _ON_SQLITE:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("audit_event")
    op.drop_table("audit_identity")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_event_append_only()")
