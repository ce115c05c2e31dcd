"""mails about accounts go through the deployment's mail server only, and what was verified otherwise is marked"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_FOUND_BY_ADDRESS = sa.text("vouched_by IS NULL")
_BY_SOMEBODY = sa.text("actor_id IS NOT NULL")
# Since when a portal has a mail server of its own is not known, so it is taken to have had it always. Of one that was
# taken away again nothing is left but what workers may have noted of it.
_HAVE_OWN_SERVER = (
    "SELECT portal_id FROM portal_mail_server UNION SELECT server FROM mail_server_state WHERE server <> ''"
)
# The portal of the mail whose link works, or worked. When that is deleted: the one that the account was registered in.
_MAIL = (
    "SELECT portal_id FROM outbox_mail WHERE outbox_mail.user_id = user_account.id AND kind = 'verification'"
    " AND outbox_mail.generation = user_account.verification_generation"
)
_REGISTERED_IN = (
    "SELECT portal_id FROM client_event WHERE actor_id = user_account.id AND kind = 'registered'"
    " ORDER BY client_event.id DESC LIMIT 1"
)
_SENT_BY = f"CASE WHEN EXISTS ({_MAIL}) THEN ({_MAIL}) ELSE ({_REGISTERED_IN}) END"
# Without a link that was asked for an account was made by an operator, or by a host shell.
_WENT_THROUGH_OWN_SERVER = f"verification_generation > 0 AND ({_SENT_BY}) IN ({_HAVE_OWN_SERVER})"


def upgrade() -> None:
    _change_tables()
    # A password on an account that a shell has made was set by a link to its mailbox, through the deployment's server.
    op.execute(
        "UPDATE user_account SET email_verified_at = CURRENT_TIMESTAMP WHERE email_verified_at IS NULL"
        " AND password_hash <> '' AND EXISTS"
        " (SELECT 1 FROM shell_account WHERE shell_account.user_id = user_account.id AND shell_account.is_made_here)"
    )
    op.execute(
        f"UPDATE user_account SET verified_for_portal_id = {_SENT_BY}"  # noqa: S608 - texts of ours
        f" WHERE email_verified_at IS NOT NULL AND {_WENT_THROUGH_OWN_SERVER}"
    )
    # Whoever runs a portal's mail server may have kept the links that went through it: they are dead. Whoever has one has
    # to ask for another; a mail that is not sent yet gets the next one.
    op.execute(
        "UPDATE user_account SET verification_generation = verification_generation + 1"  # noqa: S608 - texts of ours
        " WHERE verified_for_portal_id IS NOT NULL"
        f" OR (email_verified_at IS NULL AND {_WENT_THROUGH_OWN_SERVER})"
    )
    op.execute(
        "UPDATE outbox_mail SET generation = generation + 1 WHERE kind = 'verification' AND state <> 'sent'"  # noqa: S608
        f" AND portal_id IN ({_HAVE_OWN_SERVER}) AND EXISTS"
        " (SELECT 1 FROM user_account WHERE user_account.id = outbox_mail.user_id AND email_verified_at IS NULL"
        " AND user_account.verification_generation = outbox_mail.generation + 1)"
        " AND NOT EXISTS (SELECT 1 FROM outbox_mail AS newer WHERE newer.user_id = outbox_mail.user_id"
        " AND newer.kind = 'verification' AND newer.generation = outbox_mail.generation + 1)"
    )
    op.execute(
        "UPDATE outbox_mail SET lane = CASE WHEN attempts > 0 THEN '/retried' ELSE '/awaited' END"
        " WHERE kind IN ('verification', 'password_reset')"
    )
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.create_check_constraint(
            batch_op.f("ck_outbox_mail_lane"),
            "kind IN ('invitation', 'reminder', 'join_notice', 'join_digest') OR lane LIKE '/%'",
        )
    # A shell may have begun sessions for accounts of which nobody knows whose they are.
    op.execute(
        "DELETE FROM login_session WHERE portal_id IS NOT NULL AND user_id IN (SELECT id FROM user_account"
        " WHERE verified_for_portal_id IS NOT NULL OR (email_verified_at IS NULL AND password_hash <> ''))"
    )


def _change_tables() -> None:
    with op.batch_alter_table("user_account", schema=None, table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.add_column(sa.Column("vouched_by", sa.String(255), nullable=True))
        batch_op.add_column(sa.Column("verified_for_portal_id", sa.String(32), nullable=True))
        batch_op.add_column(sa.Column("registration_key", sa.Uuid(), nullable=True))
        batch_op.drop_constraint(batch_op.f("uq_user_account_email"), type_="unique")
        batch_op.create_unique_constraint(batch_op.f("uq_user_account_email_vouched_by"), ["email", "vouched_by"])
        batch_op.create_check_constraint(
            batch_op.f("ck_user_account_vouched_by"), "vouched_by IS NULL OR email_verified_at IS NULL"
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_user_account_verified_for_portal"),
            "verified_for_portal_id IS NULL OR email_verified_at IS NOT NULL",
        )
    op.create_index(
        op.f("ix_user_account_email"),
        "user_account",
        ["email"],
        unique=True,
        sqlite_where=_FOUND_BY_ADDRESS,
        postgresql_where=_FOUND_BY_ADDRESS,
    )
    op.create_index(
        op.f("ix_client_event_actor_id"),
        "client_event",
        ["actor_id"],
        unique=False,
        sqlite_where=_BY_SOMEBODY,
        postgresql_where=_BY_SOMEBODY,
    )
    op.create_index(op.f("ix_imported_client_invited_by_id"), "imported_client", ["invited_by_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_outbox_mail_lane"), type_="check")
    op.execute("UPDATE outbox_mail SET lane = coalesce(portal_id, '') || lane WHERE kind = 'verification'")
    op.drop_index(op.f("ix_imported_client_invited_by_id"), table_name="imported_client")
    op.drop_index(op.f("ix_client_event_actor_id"), table_name="client_event")
    # The older schema has one account an address. By hand, since SQLite does not cascade here.
    apart = "(SELECT id FROM user_account WHERE vouched_by IS NOT NULL)"
    for table in ("login_session", "shell_account", "membership", "outbox_mail"):
        op.execute(f"DELETE FROM {table} WHERE user_id IN {apart}")  # noqa: S608 - texts of ours
    for table, column in (
        ("client_event", "actor_id"),
        ("client_import", "actor_id"),
        ("imported_client", "invited_by_id"),
    ):
        op.execute(f"UPDATE {table} SET {column} = NULL WHERE {column} IN {apart}")  # noqa: S608 - texts of ours
    op.execute("DELETE FROM user_account WHERE vouched_by IS NOT NULL")
    op.drop_index(op.f("ix_user_account_email"), table_name="user_account")
    with op.batch_alter_table("user_account", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_user_account_verified_for_portal"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_user_account_vouched_by"), type_="check")
        batch_op.drop_constraint(batch_op.f("uq_user_account_email_vouched_by"), type_="unique")
        batch_op.create_unique_constraint(batch_op.f("uq_user_account_email"), ["email"])
        batch_op.drop_column("registration_key")
        batch_op.drop_column("verified_for_portal_id")
        batch_op.drop_column("vouched_by")
