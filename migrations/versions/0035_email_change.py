"""changes of an account's address, and the addresses it had"""

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0035"
down_revision = "0034c"
# New tables, and a column with a default. An older worker cannot read the new kinds of mails: where it meets one it gives
# its batch back, and a newer worker sends it. Older code would let the present address of a client be added again, and
# cannot read the new event: change no address beside it.
older_code_may_run = True


def upgrade() -> None:
    lock_tables("user_account")
    op.create_table(
        "email_change",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_by_present_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_by_new_at", sa.DateTime(timezone=True), nullable=True),
        _account("email_change"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_email_change")),
    )
    op.create_index(op.f("ix_email_change_email"), "email_change", ["email"])
    op.create_table(
        "former_address",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        _account("former_address"),
        sa.PrimaryKeyConstraint("user_id", "email", name=op.f("pk_former_address")),
    )
    op.create_index(op.f("ix_former_address_email"), "former_address", ["email"])
    op.add_column(
        "user_account", sa.Column("email_change_generation", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    op.drop_column("user_account", "email_change_generation")
    op.drop_table("former_address")
    op.drop_table("email_change")


def _account(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_user_id_user_account")
    return sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=name, ondelete="CASCADE")
