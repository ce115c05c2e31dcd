"""the notices of deleted accounts, and of portals that require a second factor"""

from alembic import op

from app.db.migrating import allow_only

revision = "0035d"
down_revision = "0035c"
older_code_may_run = True  # nobody has written the new values yet: see 0036

_BEFORE = (
    "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest', 'sign_in_locked',"
    " 'colleague_invitation', 'role_notice', 'server_notice', 'password_changed', 'new_device',"
    " 'second_factor_changed', 'second_factor_locked', 'email_change', 'email_change_new', 'email_changed'"
)
_NEW = "'account_deleted', 'second_factor_required'"


def upgrade() -> None:
    allow_only("outbox_mail", "kind", f"{_BEFORE}, {_NEW}")


def downgrade() -> None:
    op.execute(f"DELETE FROM outbox_mail WHERE kind IN ({_NEW})")  # noqa: S608 - values of ours
    allow_only("outbox_mail", "kind", _BEFORE)
