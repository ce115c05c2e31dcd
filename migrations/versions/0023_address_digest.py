"""a digest of addresses, so that an old link of a removed client can say that its address was invited again"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
# It would change an address and leave the digest of the former one.
older_code_may_run = False


def upgrade() -> None:
    for table in ("imported_client", "client_event"):
        op.add_column(table, sa.Column("address_digest", sa.String(length=32), nullable=True))


def downgrade() -> None:
    for table in ("client_event", "imported_client"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_column("address_digest")
