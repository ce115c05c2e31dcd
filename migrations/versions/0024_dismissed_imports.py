"""when the notice of a finished import was dismissed"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
# One new column that may be empty. Older code shows the notice again.
older_code_may_run = True


def upgrade() -> None:
    with op.batch_alter_table("client_import") as batch_op:
        batch_op.add_column(sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("client_import") as batch_op:
        batch_op.drop_column("dismissed_at")
