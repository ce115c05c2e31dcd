"""the languages that people read"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0034"
older_code_may_run = True  # columns that may be empty, and older code writes neither

_COLUMNS = ("language", "browser_language")
_LANGUAGES = "'en', 'de', 'fr', 'es', 'ar'"


def upgrade() -> None:
    with op.batch_alter_table("user_account", schema=None) as batch_op:
        for column in _COLUMNS:
            batch_op.add_column(sa.Column(column, sa.String(length=32), nullable=True))
            batch_op.create_check_constraint(batch_op.f(f"ck_user_account_{column}"), f"{column} IN ({_LANGUAGES})")


def downgrade() -> None:
    with op.batch_alter_table("user_account", schema=None) as batch_op:
        for column in _COLUMNS:
            batch_op.drop_constraint(batch_op.f(f"ck_user_account_{column}"), type_="check")
            batch_op.drop_column(column)
