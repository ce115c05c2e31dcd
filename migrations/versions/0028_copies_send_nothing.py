"""in which database sending was released, so that a copy of it sends nothing"""

import os
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
# A new table. Older code sends from a copy, as before.
older_code_may_run = True

_OIDS = "(SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || 'sending'::regclass::oid"


def upgrade() -> None:
    op.create_table(
        "sending",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("released_in", sa.String(length=64), nullable=True),
        sa.Column("batches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("held_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sending")),
    )
    # This database has sent until now, and goes on. See app/queue/sending.py.
    if op.get_bind().dialect.name == "postgresql":
        identity = sa.literal_column(f"{_OIDS} || '/' || (txid_current() & 4294967295)")
    else:
        identity = sa.literal(str(os.stat(op.get_bind().engine.url.database).st_ino))
    sending = sa.table("sending", sa.column("id"), sa.column("released_in"))
    op.execute(sending.insert().values(id=1, released_in=identity))


def downgrade() -> None:
    op.drop_table("sending")
    if op.get_bind().dialect.name != "postgresql":
        # Beside it, the count of batches would say after the next upgrade that this is an older copy.
        Path(f"{op.get_bind().engine.url.database}-sent").unlink(missing_ok=True)
