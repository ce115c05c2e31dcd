"""when somebody signed in first"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0032"
down_revision = "0031b"
# A new column that may be empty. An older worker cannot read the new kinds of mails: where it meets one it gives its
# batch back, and a newer worker sends it. So stop older workers before anybody signs in or changes a password.
older_code_may_run = True


def upgrade() -> None:
    lock_tables("user_account")
    op.add_column("user_account", sa.Column("first_signed_in_at", sa.DateTime(timezone=True), nullable=True))
    # Whoever could sign in before has done so, as far as anybody knows: so a new browser is told.
    op.execute(
        "UPDATE user_account SET first_signed_in_at = created_at"
        " WHERE password_hash <> '' AND email_verified_at IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_column("user_account", "first_signed_in_at")
