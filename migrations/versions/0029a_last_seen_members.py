"""when members were last seen"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0029a"
down_revision = "0029"
older_code_may_run = True  # a column that may be empty


def upgrade() -> None:
    lock_tables("membership")
    op.add_column("membership", sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("membership", "last_seen_at")
