"""the events of access that was ended"""

from alembic import op

from app.db.migrating import allow_only

revision = "0030a"
down_revision = "0030"
older_code_may_run = True  # nobody has written the new values yet: see 0031

_BEFORE = (
    "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed', 'mail_bounced', 'mail_delayed',"
    " 'mail_complained', 'expired', 'reminded', 'declined', 'requested', 'registered', 'verified', 'joined'"
)
_NEW = "'access_ended', 'access_given_back'"


def upgrade() -> None:
    allow_only("client_event", "kind", f"{_BEFORE}, {_NEW}, 'removed'")


def downgrade() -> None:
    op.execute(f"DELETE FROM client_event WHERE kind IN ({_NEW})")  # noqa: S608 - values of ours
    allow_only("client_event", "kind", f"{_BEFORE}, 'removed'")
