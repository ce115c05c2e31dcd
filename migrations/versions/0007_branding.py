"""how a portal looks and speaks to those it invites"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "logo",
        sa.Column("portal_id", sa.String(32), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_logo_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logo")),
        sa.UniqueConstraint("portal_id", "id", name=op.f("uq_logo_portal_id_id")),
    )
    op.create_table(
        "branding",
        sa.Column("portal_id", sa.String(32), nullable=False),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("display_name", sa.String(100), nullable=True),
        sa.Column("accent", sa.String(7), nullable=True),
        sa.Column("logo_id", sa.Uuid(), nullable=True),
        sa.Column("support_address", sa.String(254), nullable=True),
        sa.Column("language", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(200), nullable=True),
        sa.Column("greeting", sa.String(1000), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("stage IN ('draft', 'published')", name=op.f("ck_branding_stage")),
        sa.CheckConstraint("language IN ('en', 'de', 'fr', 'es', 'ar')", name=op.f("ck_branding_language")),
        sa.CheckConstraint("accent LIKE '#______'", name=op.f("ck_branding_accent")),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["portal.id"], name=op.f("fk_branding_portal_id_portal"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["portal_id", "logo_id"], ["logo.portal_id", "logo.id"], name=op.f("fk_branding_portal_id_logo_id_logo")
        ),
        sa.PrimaryKeyConstraint("portal_id", "stage", name=op.f("pk_branding")),
    )


def downgrade() -> None:
    op.drop_table("branding")
    op.drop_table("logo")
