"""the present address beside a joined client"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0034a"
down_revision = "0034"
older_code_may_run = True  # a column that may be empty: see 0035

_CHANGED = "account_email IS NOT NULL"


def upgrade() -> None:
    lock_tables("imported_client")
    # With its check in one statement, as both databases can: SQLite would otherwise write the whole table anew.
    op.execute(
        "ALTER TABLE imported_client ADD COLUMN account_email VARCHAR(254)"
        " CONSTRAINT ck_imported_client_account_email CHECK (account_email IS NULL OR user_id IS NOT NULL)"
    )
    op.create_index(
        op.f("ix_imported_client_portal_id_account_email"),
        "imported_client",
        ["portal_id", "account_email"],
        sqlite_where=sa.text(_CHANGED),
        postgresql_where=sa.text(_CHANGED),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_imported_client_portal_id_account_email"), "imported_client")
    with op.batch_alter_table("imported_client", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_imported_client_account_email"), type_="check")
        batch_op.drop_column("account_email")
