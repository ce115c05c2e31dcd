"""where sessions were begun and last seen"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0031a"
down_revision = "0031"
older_code_may_run = True  # columns that may be empty


def upgrade() -> None:
    lock_tables("login_session")
    op.add_column("login_session", sa.Column("network", sa.String(length=43), nullable=True))
    op.add_column("login_session", sa.Column("browser", sa.String(length=32), nullable=True))
    op.add_column("login_session", sa.Column("system", sa.String(length=32), nullable=True))
    op.add_column("login_session", sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("login_session", "last_seen_at")
    op.drop_column("login_session", "system")
    op.drop_column("login_session", "browser")
    op.drop_column("login_session", "network")
