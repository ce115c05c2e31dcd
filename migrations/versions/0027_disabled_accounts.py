"""since when an account is disabled"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0027"
down_revision = "0026"
# One new column that may be empty. Older code would still let a disabled account sign in: disable none beside it.
older_code_may_run = True


def upgrade() -> None:
    lock_tables("user_account")
    op.add_column("user_account", sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    # Not by a batch, which would make the table anew and lose SQLite's AUTOINCREMENT.
    op.drop_column("user_account", "disabled_at")
