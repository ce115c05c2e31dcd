"""Takes what was deleted out of the database's own files, as far as the database lets us."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from app.extensions import db

_PATIENCE_SECONDS = 20.0
_PAUSE_SECONDS = 0.5


def purge_deleted(patience: float = _PATIENCE_SECONDS) -> bool:
    """Clean up after an erasure. Returns whether the database's file is free of what was deleted.

    Others may use the database; it tries for `patience` seconds.

    SQLite keeps deleted rows in free pages and in the write-ahead log until they are overwritten, so the file is
    written anew and the log is emptied. Others wait meanwhile, at most for as long as that takes. It fails if somebody
    else reads or writes all the time. PostgreSQL keeps them until it vacuums a table, and samples of values in its
    statistics; both are done now. What lies on its disk after that is the server's affair: see docs/privacy.md.
    """
    db.session.rollback()
    with closing(db.engine.raw_connection()) as connection:
        cursor = connection.cursor()
        if db.engine.dialect.name == "postgresql":
            # A transaction cannot vacuum. The connection is in no transaction, since it leaves them to us.
            cursor.execute(f"VACUUM (ANALYZE) {', '.join(sorted(db.metadata.tables))}")
            return True
        return _purge_file(cursor, patience)


def _purge_file(cursor: Any, patience: float) -> bool:
    deadline = time.monotonic() + patience
    is_vacuumed = False
    while True:
        try:
            if not is_vacuumed:
                cursor.execute("VACUUM")
                is_vacuumed = True
            is_busy, _pages, _moved = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except db.engine.dialect.loaded_dbapi.OperationalError:  # locked, or the disk is full
            is_busy = True
        if not is_busy:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
