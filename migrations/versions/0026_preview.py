"""from how many rows on an import is previewed"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0026"
down_revision = "0025a"
# A new column that may be empty. Older code previews nothing.
older_code_may_run = True


def upgrade() -> None:
    lock_tables("portal")
    op.add_column("portal", sa.Column("preview_above", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("portal") as batch_op:
        batch_op.drop_column("preview_above")
