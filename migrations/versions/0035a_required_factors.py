"""since when a portal requires a second factor"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0035a"
down_revision = "0035"
# A column that may be empty. Older code lets people in without the second factor that a portal requires.
older_code_may_run = True


def upgrade() -> None:
    lock_tables("portal")
    op.add_column("portal", sa.Column("second_factor_required_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("portal", "second_factor_required_at")
