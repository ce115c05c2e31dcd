"""the webhooks of access that was ended"""

from alembic import op

from app.db.migrating import allow_only

revision = "0030b"
down_revision = "0030a"
older_code_may_run = True  # nobody has written the new values yet: see 0031

_BEFORE = "'client.invited', 'client.delivery_failed', 'client.joined'"
_NEW = "'client.access_ended', 'client.access_given_back'"


def upgrade() -> None:
    allow_only("webhook_delivery", "event", f"{_BEFORE}, {_NEW}, 'client.removed', 'webhook.test'")


def downgrade() -> None:
    op.execute(f"DELETE FROM webhook_delivery WHERE event IN ({_NEW})")  # noqa: S608 - values of ours
    allow_only("webhook_delivery", "event", f"{_BEFORE}, 'client.removed', 'webhook.test'")
