"""refusals that may be a mail server's fault"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
# It leaves the new columns as they are, which only delays what they are for.
older_code_may_run = True

_IS_REFUSED = sa.text("refused_by IS NOT NULL")


def upgrade() -> None:
    op.add_column("outbox_mail", sa.Column("refused_by", sa.String(length=32), nullable=True))
    op.add_column("outbox_mail", sa.Column("refusals", sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        op.f("ix_outbox_mail_refused_by"),
        "outbox_mail",
        ["refused_by"],
        unique=False,
        sqlite_where=_IS_REFUSED,
        postgresql_where=_IS_REFUSED,
    )


def downgrade() -> None:
    with op.batch_alter_table("outbox_mail") as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_mail_refused_by"))
        batch_op.drop_column("refusals")
        batch_op.drop_column("refused_by")
