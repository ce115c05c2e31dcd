"""access of clients that was ended"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0031"
down_revision = "0030b"
# A new table. Older code would let a person whose access is ended in again by a host shell, and cannot read the new
# events: end nobody's access beside it.
older_code_may_run = True


def upgrade() -> None:
    lock_tables(refers_to=("portal", "user_account"))
    op.create_table(
        "ended_access",
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("member_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_by_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["ended_by_id"],
            ["user_account.id"],
            name=op.f("fk_ended_access_ended_by_id_user_account"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_ended_access_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_ended_access_user_id_user_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portal_id", "user_id", name=op.f("pk_ended_access")),
    )
    op.create_index(op.f("ix_ended_access_user_id"), "ended_access", ["user_id"])
    by_somebody = sa.text("ended_by_id IS NOT NULL")
    op.create_index(
        op.f("ix_ended_access_ended_by_id"),
        "ended_access",
        ["ended_by_id"],
        sqlite_where=by_somebody,
        postgresql_where=by_somebody,
    )


def downgrade() -> None:
    op.drop_table("ended_access")
