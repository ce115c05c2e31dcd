"""when the account of a joined client was deleted by its owner, its line in histories, and the mail that tells the owner"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0033"
# A new column that may be empty. Older code shows a client without an account as Joined, and refuses to invite it
# again. An older worker cannot read the new kind of mail: where it meets one it gives its batch back, and a newer worker
# sends it. So stop older workers before anybody deletes their account.
older_code_may_run = True

_MAILS = (
    "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest', 'sign_in_locked',"
    " 'colleague_invitation', 'role_notice', 'server_notice', 'password_changed', 'new_device',"
    " 'second_factor_changed', 'second_factor_locked'"
)
_EVENTS = (
    "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed', 'mail_bounced', 'mail_delayed',"
    " 'mail_complained', 'expired', 'reminded', 'declined', 'requested', 'registered', 'verified', 'joined',"
    " 'access_ended', 'access_given_back'"
)
_NEW = "'account_deleted'"


def upgrade() -> None:
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
    _allow("client_event", f"{_EVENTS}, {_NEW}, 'removed'")
    _allow("outbox_mail", f"{_MAILS}, {_NEW}")


def downgrade() -> None:
    for table in ("outbox_mail", "client_event"):
        op.execute(f"DELETE FROM {table} WHERE kind IN ({_NEW})")  # noqa: S608 - names of ours
    _allow("outbox_mail", _MAILS)
    _allow("client_event", f"{_EVENTS}, 'removed'")
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


def _allow(table: str, kinds: str) -> None:
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f(f"ck_{table}_kind"), type_="check")
        batch_op.create_check_constraint(batch_op.f(f"ck_{table}_kind"), f"kind IN ({kinds})")
