"""the languages that people read"""

from alembic import op

from app.db.migrating import lock_tables

revision = "0037"
down_revision = "0036"
older_code_may_run = True  # columns that may be empty, and older code writes neither

_COLUMNS = ("language", "browser_language")
_LANGUAGES = "'en', 'de', 'fr', 'es', 'ar'"


def upgrade() -> None:
    lock_tables("user_account")
    for column in _COLUMNS:
        # With its check in one statement, as both databases can: SQLite would otherwise write the whole table anew.
        op.execute(
            f"ALTER TABLE user_account ADD COLUMN {column} VARCHAR(32)"
            f" CONSTRAINT ck_user_account_{column} CHECK ({column} IN ({_LANGUAGES}))"
        )


def downgrade() -> None:
    # Not by a batch, which would make the table anew and lose SQLite's AUTOINCREMENT: ids would be given again.
    for column in _COLUMNS:
        op.drop_column("user_account", column)
