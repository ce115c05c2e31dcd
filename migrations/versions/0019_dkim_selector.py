"""the DKIM selector of a portal's own mail server, for the sender check"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
# One new column that may be empty, and that nobody but the sender check reads.
older_code_may_run = True


def upgrade() -> None:
    with op.batch_alter_table("portal_mail_server") as batch_op:
        batch_op.add_column(sa.Column("dkim_selector", sa.String(length=63), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("portal_mail_server") as batch_op:
        batch_op.drop_column("dkim_selector")
