"""a client's history knows corrections"""

from alembic import op

revision = "0002"
down_revision = "0001"

_BEFORE = "'invited', 'resent', 'mail_queued', 'mail_sent', 'mail_failed', 'expired', 'registered', 'verified', 'joined', 'removed'"
_AFTER = "'invited', 'resent', 'corrected', 'mail_queued', 'mail_sent', 'mail_failed', 'expired', 'registered', 'verified', 'joined', 'removed'"


def upgrade() -> None:
    _allow(_AFTER)


def downgrade() -> None:
    # What comes nearest: a correction sends a new invitation, too.
    op.execute("UPDATE client_event SET kind = 'resent' WHERE kind = 'corrected'")
    _allow(_BEFORE)


def _allow(kinds: str) -> None:
    with op.batch_alter_table("client_event", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_client_event_kind"), type_="check")
        batch_op.create_check_constraint(batch_op.f("ck_client_event_kind"), f"kind IN ({kinds})")
