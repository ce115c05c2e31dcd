"""the message of an invitation"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0025a"
down_revision = "0025"
# A column that may be empty. Older code resends an invitation without its message.
older_code_may_run = True


def upgrade() -> None:
    lock_tables("imported_client")
    op.add_column("imported_client", sa.Column("message", sa.String(length=500), nullable=True))


def downgrade() -> None:
    op.drop_column("imported_client", "message")
