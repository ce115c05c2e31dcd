"""what the list of imports shows: folded file names, who took an import back, and counts of rejected uploads"""

import re
import unicodedata

import sqlalchemy as sa
from alembic import op

from app.db.migrating import lock_tables

revision = "0025"
down_revision = "0024"
# A new table, and new columns that may be empty. A search by file name does not find imports that older code makes.
older_code_may_run = True

_BATCH = 1000
_I_WITH_A_DOT = re.compile("i\u0307+")
_TAKEN_BACK = sa.text("taken_back_by_id IS NOT NULL")
_imports = sa.table(
    "client_import",
    sa.column("portal_id", sa.String()),
    sa.column("id", sa.Uuid()),
    sa.column("file_name", sa.String()),
    sa.column("file_name_folded", sa.String()),
)


def upgrade() -> None:
    lock_tables("client_import", refers_to=("portal", "user_account"))
    op.create_table(
        "rejected_upload",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("portal_id", sa.String(length=32), nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bad_rows", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["user_account.id"], name=op.f("fk_rejected_upload_actor_id_user_account"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_rejected_upload_portal_id_portal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_upload")),
    )
    op.create_index(
        op.f("ix_rejected_upload_actor_id_portal_id_at"), "rejected_upload", ["actor_id", "portal_id", "at"]
    )
    op.create_index(op.f("ix_rejected_upload_portal_id_at"), "rejected_upload", ["portal_id", "at"])
    with op.batch_alter_table("client_import") as batch_op:
        batch_op.add_column(sa.Column("file_name_folded", sa.String(length=1020), nullable=True))
        batch_op.add_column(sa.Column("taken_back_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("taken_back_by_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("taken_back_count", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_client_import_taken_back_by_id_user_account"),
            "user_account",
            ["taken_back_by_id"],
            ["id"],
            ondelete="SET NULL",
        )
        batch_op.create_index(
            batch_op.f("ix_client_import_actor_id_portal_id_created_at"), ["actor_id", "portal_id", "created_at"]
        )
        batch_op.create_index(
            batch_op.f("ix_client_import_taken_back_by_id"),
            ["taken_back_by_id"],
            sqlite_where=_TAKEN_BACK,
            postgresql_where=_TAKEN_BACK,
        )
    _fold_file_names()


def downgrade() -> None:
    with op.batch_alter_table("client_import") as batch_op:
        batch_op.drop_index(batch_op.f("ix_client_import_taken_back_by_id"))
        batch_op.drop_index(batch_op.f("ix_client_import_actor_id_portal_id_created_at"))
        batch_op.drop_constraint(batch_op.f("fk_client_import_taken_back_by_id_user_account"), type_="foreignkey")
        for column in ("taken_back_count", "taken_back_by_id", "taken_back_at", "file_name_folded"):
            batch_op.drop_column(column)
    op.drop_table("rejected_upload")


def _fold_file_names() -> None:
    """Fold the names of all files, a batch at a time."""
    key = [_imports.c.portal_id, _imports.c.id]
    batch = (
        sa.select(*key, _imports.c.file_name).where(_imports.c.file_name_folded.is_(None)).order_by(*key).limit(_BATCH)
    )
    update = (
        sa.update(_imports)
        .where(_imports.c.portal_id == sa.bindparam("portal"), _imports.c.id == sa.bindparam("import"))
        .values(file_name_folded=sa.bindparam("folded"))
    )
    connection = op.get_bind()
    while rows := connection.execute(batch).all():
        values = [{"portal": portal, "import": key, "folded": _fold(name)} for portal, key, name in rows]
        connection.execute(update, values)


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", _I_WITH_A_DOT.sub("i", folded.replace("ı", "i")))
