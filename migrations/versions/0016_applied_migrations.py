"""applied migrations: which older code may run on this schema; figures are no longer added up here"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
# Its `/metrics` reads the table that goes.
older_code_may_run = False


def upgrade() -> None:
    op.create_table(
        "applied_migration",
        sa.Column("revision", sa.String(length=32), nullable=False),
        sa.Column("older_code_may_run", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_applied_migration")),
    )
    op.drop_table("metric_total")


def downgrade() -> None:
    op.create_table(
        "metric_total",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("labels", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("pk_metric_total")),
    )
    op.drop_table("applied_migration")
