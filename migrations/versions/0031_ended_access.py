"""access of clients that was ended, its events and its webhooks"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0031"
down_revision = "0030"
# A new table, and values that nobody has written yet. Older code would let a person whose access is ended in again by a
# host shell, and cannot read the new events: end nobody's access beside it.
older_code_may_run = True

_NEW_EVENTS = "'access_ended', 'access_given_back'"
_TO_JOINED = (
    "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed', 'mail_bounced', 'mail_delayed',"
    " 'mail_complained', 'expired', 'reminded', 'declined', 'requested', 'registered', 'verified', 'joined'"
)
_NEW_WEBHOOKS = "'client.access_ended', 'client.access_given_back'"
_JOINED_WEBHOOKS = "'client.invited', 'client.delivery_failed', 'client.joined'"


def upgrade() -> None:
    lock_tables("client_event", "webhook_delivery", refers_to=("portal", "user_account"))
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
    _allow("client_event", "kind", f"{_TO_JOINED}, {_NEW_EVENTS}, 'removed'")
    _allow("webhook_delivery", "event", f"{_JOINED_WEBHOOKS}, {_NEW_WEBHOOKS}, 'client.removed', 'webhook.test'")


def downgrade() -> None:
    op.execute(f"DELETE FROM webhook_delivery WHERE event IN ({_NEW_WEBHOOKS})")  # noqa: S608 - values of ours
    op.execute(f"DELETE FROM client_event WHERE kind IN ({_NEW_EVENTS})")  # noqa: S608 - values of ours
    _allow("webhook_delivery", "event", f"{_JOINED_WEBHOOKS}, 'client.removed', 'webhook.test'")
    _allow("client_event", "kind", f"{_TO_JOINED}, 'removed'")
    op.drop_table("ended_access")


def _allow(table: str, column: str, values: str) -> None:
    name = op.f(f"ck_{table}_{column}")
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.drop_constraint(name, type_="check")
        batch_op.create_check_constraint(name, f"{column} IN ({values})")
