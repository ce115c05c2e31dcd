"""accounts that their owners have deleted"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0036"
down_revision = "0035d"
# New columns that may be empty. Older code shows a client without an account as Joined and cannot read its history. An
# older worker cannot read the new kinds of mails: where it meets one it gives its batch back, and a newer worker sends
# it. So stop both before anybody deletes their account or requires a second factor.
older_code_may_run = True


def upgrade() -> None:
    lock_tables("imported_client")
    with op.batch_alter_table("imported_client", schema=None) as batch_op:
        batch_op.add_column(sa.Column("account_deleted_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("access_ended_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_constraint(batch_op.f("ck_imported_client_joined_user"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_imported_client_joined_user"),
            "status <> 'joined' OR (user_id IS NULL) = (account_deleted_at IS NOT NULL)",
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_imported_client_account_deleted_at"), "account_deleted_at IS NULL OR status = 'joined'"
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_imported_client_access_ended_at"),
            "access_ended_at IS NULL OR account_deleted_at IS NOT NULL",
        )


def downgrade() -> None:
    # The older schema has no client that has joined and has no account. What comes nearest: it can be invited again.
    # Its link stays used.
    op.execute(
        "UPDATE imported_client SET status = 'invite_sent', joined_at = NULL, registered_at = NULL,"
        " account_deleted_at = NULL, access_ended_at = NULL WHERE account_deleted_at IS NOT NULL"
    )
    with op.batch_alter_table("imported_client", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_imported_client_access_ended_at"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_imported_client_account_deleted_at"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_imported_client_joined_user"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_imported_client_joined_user"), "status <> 'joined' OR user_id IS NOT NULL"
        )
        batch_op.drop_column("access_ended_at")
        batch_op.drop_column("account_deleted_at")
