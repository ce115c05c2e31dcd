"""unknown outcomes: whether a mail that failed may have arrived all the same"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("outbox_mail", sa.Column("unknown_outcomes", sa.Integer(), server_default="0", nullable=False))
    # Of earlier attempts it was not kept what came of them: their links go on working. The last one of a mail that has
    # failed was answered.
    op.execute("UPDATE outbox_mail SET unknown_outcomes = attempts WHERE state IN ('queued', 'sending')")
    op.execute("UPDATE outbox_mail SET unknown_outcomes = attempts - 1 WHERE state = 'failed' AND attempts > 1")


def downgrade() -> None:
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.drop_column("unknown_outcomes")
