"""the message of an invitation"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0025a"
down_revision = "0025"
older_code_may_run = True  # a column that may be empty


def upgrade() -> None:
    lock_tables("imported_client")
    op.add_column("imported_client", sa.Column("message", sa.String(length=500), nullable=True))


def downgrade() -> None:
    op.drop_column("imported_client", "message")
