"""the notices of second factors"""

from alembic import op

from app.db.migrating import allow_only

revision = "0032b"
down_revision = "0032a"
older_code_may_run = True  # nobody has written the new values yet: see 0033

_BEFORE = (
    "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest', 'sign_in_locked',"
    " 'colleague_invitation', 'role_notice', 'server_notice', 'password_changed', 'new_device'"
)
_NEW = "'second_factor_changed', 'second_factor_locked'"


def upgrade() -> None:
    allow_only("outbox_mail", "kind", f"{_BEFORE}, {_NEW}")


def downgrade() -> None:
    op.execute(f"DELETE FROM outbox_mail WHERE kind IN ({_NEW})")  # noqa: S608 - values of ours
    allow_only("outbox_mail", "kind", _BEFORE)
