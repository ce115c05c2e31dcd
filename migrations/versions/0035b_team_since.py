"""since when somebody has worked in a portal's team"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0035b"
down_revision = "0035a"
older_code_may_run = True  # a column that may be empty


def upgrade() -> None:
    lock_tables("membership")
    op.add_column("membership", sa.Column("team_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("membership", "team_since")
