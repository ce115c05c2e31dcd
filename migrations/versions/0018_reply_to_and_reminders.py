"""answers of a portal whatever its mail server, and reminders that a recipient has turned off"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
# It reads and writes a column that is gone.
older_code_may_run = False

_portal = sa.table("portal", sa.column("id"), sa.column("reply_to"))
_server = sa.table("portal_mail_server", sa.column("portal_id"), sa.column("reply_to"))


def upgrade() -> None:
    with op.batch_alter_table("portal") as batch_op:
        batch_op.add_column(sa.Column("reply_to", sa.String(254), nullable=True))
    _move(_server, _server.c.portal_id, _portal, _portal.c.id)
    with op.batch_alter_table("portal_mail_server") as batch_op:
        batch_op.drop_column("reply_to")
    with op.batch_alter_table("imported_client") as batch_op:
        batch_op.add_column(sa.Column("reminders_stopped_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Portals without a server of their own lose their address for answers: there was no place for it."""
    with op.batch_alter_table("imported_client") as batch_op:
        batch_op.drop_column("reminders_stopped_at")
    with op.batch_alter_table("portal_mail_server") as batch_op:
        batch_op.add_column(sa.Column("reply_to", sa.String(254), nullable=True))
    _move(_portal, _portal.c.id, _server, _server.c.portal_id)
    with op.batch_alter_table("portal") as batch_op:
        batch_op.drop_column("reply_to")


def _move(old: sa.TableClause, old_id: sa.ColumnClause, new: sa.TableClause, new_id: sa.ColumnClause) -> None:
    value = sa.select(old.c.reply_to).where(old_id == new_id).scalar_subquery()
    op.execute(sa.update(new).values(reply_to=value))
