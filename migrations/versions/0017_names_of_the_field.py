"""names of the field: queue, encrypted, rate limits"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
# It reads and writes columns that have other names now.
older_code_may_run = False

_OF_PORTALS = "kind IN ('invitation', 'reminder', 'join_notice', 'join_digest')"
_PRIORITIES = {"awaited": "high", "fresh": "normal", "retried": "retry"}


def upgrade() -> None:
    _rename("lane", "queue", _PRIORITIES)
    with op.batch_alter_table("portal_mail_server") as batch_op:
        batch_op.alter_column("sealed_password", new_column_name="encrypted_password", existing_type=sa.String(2000))
    with op.batch_alter_table("webhook_endpoint") as batch_op:
        batch_op.alter_column("sealed_secret", new_column_name="encrypted_secret", existing_type=sa.String(500))
        batch_op.alter_column(
            "former_sealed_secret", new_column_name="former_encrypted_secret", existing_type=sa.String(500)
        )
    _make_hits("rate_limit_hit", "throttle_hit")


def downgrade() -> None:
    _make_hits("throttle_hit", "rate_limit_hit")
    with op.batch_alter_table("webhook_endpoint") as batch_op:
        batch_op.alter_column(
            "former_encrypted_secret", new_column_name="former_sealed_secret", existing_type=sa.String(500)
        )
        batch_op.alter_column("encrypted_secret", new_column_name="sealed_secret", existing_type=sa.String(500))
    with op.batch_alter_table("portal_mail_server") as batch_op:
        batch_op.alter_column("encrypted_password", new_column_name="sealed_password", existing_type=sa.String(2000))
    _rename("queue", "lane", {word: former for former, word in _PRIORITIES.items()})


def _rename(old: str, new: str, words: dict[str, str]) -> None:
    """Give the outbox's column another name, and its values their other words."""
    with op.batch_alter_table("outbox_mail") as batch_op:
        batch_op.drop_constraint(batch_op.f(f"ck_outbox_mail_{old}"), type_="check")
        batch_op.drop_index(batch_op.f(f"ix_outbox_mail_state_{old}_due_at"))
    with op.batch_alter_table("outbox_mail") as batch_op:
        batch_op.alter_column(old, new_column_name=new, existing_type=sa.String(40), existing_nullable=False)
    for former, word in words.items():
        renamed = sa.func.replace(sa.column(new), f"/{former}", f"/{word}")
        mail = sa.table("outbox_mail", sa.column(new))
        op.execute(sa.update(mail).values({new: renamed}).where(mail.c[new].endswith(f"/{former}")))
    with op.batch_alter_table("outbox_mail") as batch_op:
        batch_op.create_check_constraint(batch_op.f(f"ck_outbox_mail_{new}"), f"{_OF_PORTALS} OR {new} LIKE '/%'")
        batch_op.create_index(batch_op.f(f"ix_outbox_mail_state_{new}_due_at"), ["state", new, "due_at"], unique=False)


def _make_hits(name: str, former: str) -> None:
    """The table of counted actions under another name, with what it holds."""
    op.create_table(
        name,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
    )
    op.execute(f"INSERT INTO {name} (key, at) SELECT key, at FROM {former}")  # noqa: S608 - names of ours
    op.drop_table(former)
    op.create_index(op.f(f"ix_{name}_key_at"), name, ["key", "at"], unique=False)
