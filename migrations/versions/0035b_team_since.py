"""since when somebody has worked in a portal's team"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0035b"
down_revision = "0035a"
# A new column that may be empty. It has a migration of its own, since one that changes few tables gets them sooner.
older_code_may_run = True


def upgrade() -> None:
    lock_tables("membership")
    op.add_column("membership", sa.Column("team_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("membership", "team_since")
