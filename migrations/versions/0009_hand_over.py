"""host shells that hand people over, and the sessions they begin"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "shell_issuer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("jwks_url", sa.String(2000), nullable=True),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(jwks_url IS NULL) <> (public_key IS NULL)", name=op.f("ck_shell_issuer_keys")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shell_issuer")),
        sa.UniqueConstraint("issuer", name=op.f("uq_shell_issuer_issuer")),
    )
    op.create_table(
        "shell_issuer_portal",
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("portal_id", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["issuer_id"],
            ["shell_issuer.id"],
            name=op.f("fk_shell_issuer_portal_issuer_id_shell_issuer"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_shell_issuer_portal_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issuer_id", "portal_id", name=op.f("pk_shell_issuer_portal")),
    )
    op.create_index(op.f("ix_shell_issuer_portal_portal_id"), "shell_issuer_portal", ["portal_id"], unique=False)
    op.create_table(
        "shell_account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("is_made_here", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["issuer_id"],
            ["shell_issuer.id"],
            name=op.f("fk_shell_account_issuer_id_shell_issuer"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_shell_account_user_id_user_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shell_account")),
        sa.UniqueConstraint("issuer_id", "subject", name=op.f("uq_shell_account_issuer_id_subject")),
    )
    op.create_index(op.f("ix_shell_account_user_id"), "shell_account", ["user_id"], unique=False)
    op.create_table(
        "used_token",
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("jti", sa.String(255), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "jti", name=op.f("pk_used_token")),
    )
    op.create_index(op.f("ix_used_token_expires_at"), "used_token", ["expires_at"], unique=False)
    with op.batch_alter_table("login_session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("portal_id", sa.String(32), nullable=True))
        batch_op.add_column(sa.Column("shell_account_id", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_login_session_portal_id_portal"), "portal", ["portal_id"], ["id"], ondelete="CASCADE"
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_login_session_shell_account_id_shell_account"),
            "shell_account",
            ["shell_account_id"],
            ["id"],
            ondelete="CASCADE",
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_login_session_handed_over"), "(portal_id IS NULL) = (shell_account_id IS NULL)"
        )
        batch_op.create_index(batch_op.f("ix_login_session_shell_account_id"), ["shell_account_id"], unique=False)


def downgrade() -> None:
    # The older schema would take them for sessions that are good everywhere.
    op.execute("DELETE FROM login_session WHERE portal_id IS NOT NULL")
    with op.batch_alter_table("login_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_login_session_shell_account_id"))
        batch_op.drop_constraint(batch_op.f("ck_login_session_handed_over"), type_="check")
        batch_op.drop_constraint(batch_op.f("fk_login_session_shell_account_id_shell_account"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_login_session_portal_id_portal"), type_="foreignkey")
        batch_op.drop_column("shell_account_id")
        batch_op.drop_column("portal_id")
    op.drop_table("used_token")
    op.drop_table("shell_account")
    op.drop_table("shell_issuer_portal")
    op.drop_table("shell_issuer")
