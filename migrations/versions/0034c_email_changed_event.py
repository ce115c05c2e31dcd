"""the event of a change of address"""

from alembic import op

from app.db.migrating import allow_only

revision = "0034c"
down_revision = "0034b"
older_code_may_run = True  # nobody has written the new values yet: see 0035

_BEFORE = (
    "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed', 'mail_bounced', 'mail_delayed',"
    " 'mail_complained', 'expired', 'reminded', 'declined', 'requested', 'registered', 'verified', 'joined',"
    " 'access_ended', 'access_given_back'"
)
_NEW = "'email_changed'"


def upgrade() -> None:
    allow_only("client_event", "kind", f"{_BEFORE}, {_NEW}, 'removed'")


def downgrade() -> None:
    op.execute(f"DELETE FROM client_event WHERE kind IN ({_NEW})")  # noqa: S608 - values of ours
    allow_only("client_event", "kind", f"{_BEFORE}, 'removed'")
