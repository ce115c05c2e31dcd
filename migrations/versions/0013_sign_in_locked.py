"""the mail that tells an account's owner that sign-in was locked"""

from alembic import op

revision = "0013"
down_revision = "0012"

_BEFORE = "'invitation', 'verification', 'password_reset', 'reminder', 'join_notice', 'join_digest'"
_AFTER = f"{_BEFORE}, 'sign_in_locked'"


def upgrade() -> None:
    _allow(_AFTER)


def downgrade() -> None:
    op.execute("DELETE FROM outbox_mail WHERE kind = 'sign_in_locked'")
    _allow(_BEFORE)


def _allow(kinds: str) -> None:
    with op.batch_alter_table("outbox_mail", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_outbox_mail_kind"), type_="check")
        batch_op.create_check_constraint(batch_op.f("ck_outbox_mail_kind"), f"kind IN ({kinds})")
