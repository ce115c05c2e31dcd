"""changes of an account's address, the addresses it had, and the present address beside a joined client"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0035"
down_revision = "0034"
# New tables, and columns that may be empty or have a default. An older worker cannot read the new kinds of mails: where
# it meets one it gives its batch back, and a newer worker sends it. Older code would let the present address of a
# client be added again, and cannot read the new event: change no address beside it.
older_code_may_run = True

_BEFORE = (
    "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest', 'sign_in_locked',"
    " 'colleague_invitation', 'role_notice', 'server_notice', 'password_changed', 'new_device',"
    " 'second_factor_changed', 'second_factor_locked'"
)
_NEW = "'email_change', 'email_change_new', 'email_changed'"
_EVENTS_BEFORE = (
    "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed', 'mail_bounced', 'mail_delayed',"
    " 'mail_complained', 'expired', 'reminded', 'declined', 'requested', 'registered', 'verified', 'joined',"
    " 'access_ended', 'access_given_back'"
)
_CHANGED = "account_email IS NOT NULL"


def upgrade() -> None:
    lock_tables("user_account", "imported_client", "outbox_mail", "client_event")
    op.create_table(
        "email_change",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_by_present_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_by_new_at", sa.DateTime(timezone=True), nullable=True),
        _account("email_change"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_email_change")),
    )
    op.create_index(op.f("ix_email_change_email"), "email_change", ["email"])
    op.create_table(
        "former_address",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        _account("former_address"),
        sa.PrimaryKeyConstraint("user_id", "email", name=op.f("pk_former_address")),
    )
    op.create_index(op.f("ix_former_address_email"), "former_address", ["email"])
    op.add_column(
        "user_account", sa.Column("email_change_generation", sa.Integer(), nullable=False, server_default="0")
    )
    # With its check in one statement, as both databases can: SQLite would otherwise write the whole table anew.
    op.execute(
        "ALTER TABLE imported_client ADD COLUMN account_email VARCHAR(254)"
        " CONSTRAINT ck_imported_client_account_email CHECK (account_email IS NULL OR user_id IS NOT NULL)"
    )
    op.create_index(
        op.f("ix_imported_client_portal_id_account_email"),
        "imported_client",
        ["portal_id", "account_email"],
        sqlite_where=sa.text(_CHANGED),
        postgresql_where=sa.text(_CHANGED),
    )
    _allow("outbox_mail", f"{_BEFORE}, {_NEW}")
    _allow("client_event", f"{_EVENTS_BEFORE}, 'email_changed', 'removed'")


def downgrade() -> None:
    op.execute("DELETE FROM client_event WHERE kind = 'email_changed'")
    op.execute(f"DELETE FROM outbox_mail WHERE kind IN ({_NEW})")  # noqa: S608 - names of ours
    _allow("client_event", f"{_EVENTS_BEFORE}, 'removed'")
    _allow("outbox_mail", _BEFORE)
    op.drop_index(op.f("ix_imported_client_portal_id_account_email"), "imported_client")
    with op.batch_alter_table("imported_client", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_imported_client_account_email"), type_="check")
        batch_op.drop_column("account_email")
    op.drop_column("user_account", "email_change_generation")
    op.drop_table("former_address")
    op.drop_table("email_change")


def _account(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_user_id_user_account")
    return sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=name, ondelete="CASCADE")


def _allow(table: str, kinds: str) -> None:
    name = op.f(f"ck_{table}_kind")
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.drop_constraint(name, type_="check")
        batch_op.create_check_constraint(name, f"kind IN ({kinds})")
