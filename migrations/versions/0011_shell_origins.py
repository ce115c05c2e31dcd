"""shell origins: which host shells may show a portal in a frame"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "shell_origin",
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_shell_origin_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", "origin", name=op.f("pk_shell_origin")),
    )


def downgrade() -> None:
    op.drop_table("shell_origin")
