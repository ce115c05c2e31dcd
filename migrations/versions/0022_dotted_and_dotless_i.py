"""folded names without the dots of İ and ı, so that search finds them from any keyboard"""

import re
import unicodedata
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
# It folds the names that it writes in the former way, and nothing would find and correct these later.
older_code_may_run = False

_BATCH = 1000
_I_WITH_A_DOT = re.compile("i\u0307+")

_clients = sa.table(
    "imported_client",
    sa.column("portal_id", sa.String()),
    sa.column("id", sa.Uuid()),
    sa.column("company_name", sa.String()),
    sa.column("company_name_folded", sa.String()),
)
_accounts = sa.table(
    "user_account",
    sa.column("id", sa.Integer()),
    sa.column("name", sa.String()),
    sa.column("name_folded", sa.String()),
)


def upgrade() -> None:
    _fold_all(_new_fold)


def downgrade() -> None:
    _fold_all(_former_fold)


def _fold_all(fold: Callable[[str], str]) -> None:
    _fold_again(_clients.c.company_name, _clients.c.company_name_folded, [_clients.c.portal_id, _clients.c.id], fold)
    _fold_again(_accounts.c.name, _accounts.c.name_folded, [_accounts.c.id], fold)


def _fold_again(
    name: sa.ColumnClause[str], folded: sa.ColumnClause[str], key: list[sa.ColumnClause], fold: Callable[[str], str]
) -> None:
    """Fold the names that have such a letter, a batch at a time in the order of their primary key."""
    concerned = sa.or_(*(name.contains(letter) for letter in ("İ", "ı", "i\u0307")))
    batch = sa.select(*key, name).where(concerned).order_by(*key).limit(_BATCH)
    update = (
        sa.update(name.table)
        .where(*(column == sa.bindparam(f"key_{column.name}") for column in key))
        .values({folded: sa.bindparam("folded")})
    )
    connection = op.get_bind()
    rows = connection.execute(batch).all()
    while rows:
        values = [
            {f"key_{column.name}": part for column, part in zip(key, row, strict=False)} | {"folded": fold(row[-1])}
            for row in rows
        ]
        connection.execute(update, values)
        rows = connection.execute(batch.where(sa.tuple_(*key) > tuple(rows[-1][:-1]))).all()


def _former_fold(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _new_fold(text: str) -> str:
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", _I_WITH_A_DOT.sub("i", folded.replace("ı", "i")))
