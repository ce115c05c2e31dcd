"""bounces: what became of a mail that a server has taken"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
# It cannot read the new states and events.
older_code_may_run = False

_STATES = "'queued', 'sending', 'sent', 'failed'"
_NEW_EVENTS = "'mail_bounced', 'mail_delayed', 'mail_complained'"
_TO_FAILED = "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed'"
_FROM_EXPIRED = "'expired', 'reminded', 'declined', 'requested', 'registered', 'verified', 'joined', 'removed'"


def upgrade() -> None:
    _allow("outbox_mail", "state", f"{_STATES}, 'bounced', 'complained'")
    _allow("client_event", "kind", f"{_TO_FAILED}, {_NEW_EVENTS}, {_FROM_EXPIRED}")
    with op.batch_alter_table("portal_mail_server") as batch_op:
        batch_op.add_column(sa.Column("uses_bounce_address", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "bounce_mailbox",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("uid_validity", sa.BigInteger(), nullable=False),
        sa.Column("next_uid", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bounce_mailbox")),
    )


def downgrade() -> None:
    op.drop_table("bounce_mailbox")
    with op.batch_alter_table("portal_mail_server") as batch_op:
        batch_op.drop_column("uses_bounce_address")
    op.execute(f"DELETE FROM client_event WHERE kind IN ({_NEW_EVENTS})")  # noqa: S608 - values of ours
    _allow("client_event", "kind", f"{_TO_FAILED}, {_FROM_EXPIRED}")
    # Both were taken by a mail server, which is what older code calls sent.
    op.execute("UPDATE outbox_mail SET state = 'sent' WHERE state IN ('bounced', 'complained')")
    _allow("outbox_mail", "state", _STATES)


def _allow(table: str, column: str, values: str) -> None:
    name = op.f(f"ck_{table}_{column}")
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.drop_constraint(name, type_="check")
        batch_op.create_check_constraint(name, f"{column} IN ({values})")
