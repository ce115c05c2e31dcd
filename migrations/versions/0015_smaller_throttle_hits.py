"""smaller throttle hits: an import of a thousand rows writes a thousand of them"""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    # Only the hourly pruning asked by `at` alone, and it may go through the hits of a day.
    op.drop_index(op.f("ix_throttle_hit_at"), table_name="throttle_hit")


def downgrade() -> None:
    op.create_index(op.f("ix_throttle_hit_at"), "throttle_hit", ["at"], unique=False)
