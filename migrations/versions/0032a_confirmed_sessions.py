"""when a session last proved who uses it"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0032a"
down_revision = "0032"
older_code_may_run = True  # a column that may be empty


def upgrade() -> None:
    lock_tables("login_session")
    op.add_column("login_session", sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("login_session", "confirmed_at")
