"""where sessions were begun and last seen, when somebody signed in first, and the notices of passwords and browsers"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0032"
down_revision = "0031"
# New columns that may be empty. An older worker cannot read the new kinds of mails: where it meets one it gives its
# batch back, and a newer worker sends it. So stop older workers before anybody signs in or changes a password.
older_code_may_run = True

_BEFORE = (
    "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest', 'sign_in_locked',"
    " 'colleague_invitation', 'role_notice', 'server_notice'"
)
_NEW = "'password_changed', 'new_device'"


def upgrade() -> None:
    lock_tables("user_account", "login_session", "outbox_mail")
    op.add_column("login_session", sa.Column("network", sa.String(length=43), nullable=True))
    op.add_column("login_session", sa.Column("browser", sa.String(length=32), nullable=True))
    op.add_column("login_session", sa.Column("system", sa.String(length=32), nullable=True))
    op.add_column("login_session", sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("user_account", sa.Column("first_signed_in_at", sa.DateTime(timezone=True), nullable=True))
    # Whoever could sign in before has done so, as far as anybody knows: so a new browser is told.
    op.execute(
        "UPDATE user_account SET first_signed_in_at = created_at"
        " WHERE password_hash <> '' AND email_verified_at IS NOT NULL"
    )
    _allow(f"{_BEFORE}, {_NEW}")


def downgrade() -> None:
    op.execute(f"DELETE FROM outbox_mail WHERE kind IN ({_NEW})")  # noqa: S608 - names of ours
    _allow(_BEFORE)
    op.drop_column("user_account", "first_signed_in_at")
    for column in ("last_seen_at", "system", "browser", "network"):
        op.drop_column("login_session", column)


def _allow(kinds: str) -> None:
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_outbox_mail_kind"), type_="check")
        batch_op.create_check_constraint(batch_op.f("ck_outbox_mail_kind"), f"kind IN ({kinds})")
