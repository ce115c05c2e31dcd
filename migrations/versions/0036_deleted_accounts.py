"""accounts that their owners have deleted; the notices of that, and of portals that require a second factor"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0036"
down_revision = "0035b"
# New columns that may be empty. Older code shows a client without an account as Joined and cannot read its history, and
# it lets people in without the second factor that a portal requires. An older worker cannot read the new kinds of mails:
# where it meets one it gives its batch back, and a newer worker sends it. So stop both before anybody deletes their
# account or requires a second factor.
older_code_may_run = True

_MAILS = (
    "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest', 'sign_in_locked',"
    " 'colleague_invitation', 'role_notice', 'server_notice', 'password_changed', 'new_device',"
    " 'second_factor_changed', 'second_factor_locked', 'email_change', 'email_change_new', 'email_changed'"
)
_EVENTS = (
    "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed', 'mail_bounced', 'mail_delayed',"
    " 'mail_complained', 'expired', 'reminded', 'declined', 'requested', 'registered', 'verified', 'joined',"
    " 'access_ended', 'access_given_back', 'email_changed'"
)
_NEW_EVENT = "'account_deleted'"
_NEW_MAILS = "'account_deleted', 'second_factor_required'"


def upgrade() -> None:
    lock_tables("imported_client", "outbox_mail", "client_event")
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
    _allow("client_event", f"{_EVENTS}, {_NEW_EVENT}, 'removed'")
    _allow("outbox_mail", f"{_MAILS}, {_NEW_MAILS}")


def downgrade() -> None:
    op.execute(f"DELETE FROM outbox_mail WHERE kind IN ({_NEW_MAILS})")  # noqa: S608 - names of ours
    op.execute(f"DELETE FROM client_event WHERE kind IN ({_NEW_EVENT})")  # noqa: S608 - names of ours
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
