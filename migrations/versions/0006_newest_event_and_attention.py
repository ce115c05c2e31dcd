"""the newest event of a portal, and its registered clients"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_UNVERIFIED = sa.text("registered_at IS NOT NULL AND joined_at IS NULL")


def upgrade() -> None:
    op.create_index(op.f("ix_client_event_portal_id_id"), "client_event", ["portal_id", "id"], unique=False)
    op.create_index(
        op.f("ix_imported_client_portal_id_registered_at"),
        "imported_client",
        ["portal_id", "registered_at"],
        unique=False,
        sqlite_where=_UNVERIFIED,
        postgresql_where=_UNVERIFIED,
    )


def downgrade() -> None:
    op.drop_index(
        op.f("ix_imported_client_portal_id_registered_at"),
        "imported_client",
        sqlite_where=_UNVERIFIED,
        postgresql_where=_UNVERIFIED,
    )
    op.drop_index(op.f("ix_client_event_portal_id_id"), "client_event")
