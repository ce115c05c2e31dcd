"""mails to colleagues, and the notices of roles and mail servers"""

from alembic import op

from app.db.migrating import allow_only

revision = "0029b"
down_revision = "0029a"
older_code_may_run = True  # nobody has written the new values yet: see 0030

_BEFORE = "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest', 'sign_in_locked'"
_NEW = "'colleague_invitation', 'role_notice', 'server_notice'"


def upgrade() -> None:
    allow_only("outbox_mail", "kind", f"{_BEFORE}, {_NEW}")


def downgrade() -> None:
    op.execute(f"DELETE FROM outbox_mail WHERE kind IN ({_NEW})")  # noqa: S608 - values of ours
    allow_only("outbox_mail", "kind", _BEFORE)
