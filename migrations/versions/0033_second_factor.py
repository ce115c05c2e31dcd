"""second factors by an app and by recovery codes, sign-ins that wait for them, and notices of them"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0033"
down_revision = "0032"
# New tables, and a column that may be empty. Older code signs people in without asking for their second factor, and an
# older worker cannot read the new kinds of mails: so stop both before anybody sets up a second factor.
older_code_may_run = True

_BEFORE = (
    "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest', 'sign_in_locked',"
    " 'colleague_invitation', 'role_notice', 'server_notice', 'password_changed', 'new_device'"
)
_NEW = "'second_factor_changed', 'second_factor_locked'"


def upgrade() -> None:
    lock_tables("login_session", "outbox_mail", refers_to=("user_account",))
    op.create_table(
        "totp_key",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("encrypted_key", sa.String(length=255), nullable=False),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("last_step > 0", name=op.f("ck_totp_key_last_step")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_totp_key_user_id_user_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_totp_key")),
    )
    op.create_table(
        "recovery_code",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_recovery_code_user_id_user_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "digest", name=op.f("pk_recovery_code")),
    )
    op.create_table(
        "pending_sign_in",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("password_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_pending_sign_in_user_id_user_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_sign_in")),
    )
    op.create_index(op.f("ix_pending_sign_in_user_id"), "pending_sign_in", ["user_id"])
    op.create_index(op.f("ix_pending_sign_in_expires_at"), "pending_sign_in", ["expires_at"])
    op.add_column("login_session", sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True))
    _allow(f"{_BEFORE}, {_NEW}")


def downgrade() -> None:
    op.execute(f"DELETE FROM outbox_mail WHERE kind IN ({_NEW})")  # noqa: S608 - names of ours
    _allow(_BEFORE)
    op.drop_column("login_session", "confirmed_at")
    op.drop_table("pending_sign_in")
    op.drop_table("recovery_code")
    op.drop_table("totp_key")


def _allow(kinds: str) -> None:
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_outbox_mail_kind"), type_="check")
        batch_op.create_check_constraint(batch_op.f("ck_outbox_mail_kind"), f"kind IN ({kinds})")
