"""Whether anything goes out from here. Nothing does with SENDING=off, and nothing from a copy of the database.

A copy has the mails that its original may have sent meanwhile. So it is held until an operator releases it
(`outbox release`). The row of the table `sending` names the database in which sending was released:

- PostgreSQL: by the OIDs of database and table and the row's xmin, the transaction that wrote it. A dump, a logical
  replica or a copy by `CREATE DATABASE … TEMPLATE` has at least one other. A physical copy has the same ones.
- SQLite: by the file's inode. For a backup that was written over the file itself, the workers also count their batches,
  in the row and in FILE-sent beside the file. A database that is behind its file is an older one.

See docs/adr/0010-copies-send-nothing.md.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, Connection, literal, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_into_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_into_sqlite

from app.core.clock import now
from app.core.errors import DomainError
from app.db.transactions import transaction
from app.extensions import db
from app.models import Sending
from app.observability import quiet

_COUNT_DIGITS = 20
_LOCK_SECONDS = 0.2
_OIDS = "(SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || sending.tableoid || '/' ||"
_IDENTITY: ColumnElement[str] = literal_column(f"{_OIDS} sending.xmin")
# The row that an UPDATE writes has the number of its own transaction as its xmin.
_NEW_IDENTITY: ColumnElement[str] = literal_column(f"{_OIDS} (txid_current() & 4294967295)")
_COUNT = text("UPDATE sending SET batches = batches + 1 RETURNING batches")


@dataclass(frozen=True)
class Stopped:
    """Why nothing is sent."""

    by_setting: bool
    """SENDING is off. Otherwise the database is a copy that nobody has released."""
    since: datetime | None = None
    """When it was first noticed that the database is a copy. None if no worker has noticed yet."""

    @property
    def sentence(self) -> str:
        """For operators."""
        if self.by_setting:
            return "Nothing is sent: SENDING is off."
        since = f" Held since {self.since:%Y-%m-%d %H:%M} UTC." if self.since else ""
        return (
            "Nothing is sent: this database was restored or copied. See what would go, and release it:"
            f" flask --app wsgi outbox release.{since}"
        )


def stopped() -> Stopped | None:
    """Why nothing is sent from here. None if sending goes on. Changes nothing."""
    return Stopped(by_setting=True) if is_turned_off() else held_reason()


def is_turned_off() -> bool:
    """Whether SENDING is off."""
    return not current_app.config["SETTINGS"].sending


def held_reason() -> Stopped | None:
    """Why nothing is sent from this database, whatever the setting says. None if it is released."""
    with _reading() as connection:
        sent = _batches_sent(connection)  # before the row, whose count is raised first
        row = connection.execute(
            select(Sending.released_in, Sending.batches, Sending.held_since, _identity(connection).label("identity"))
        ).one_or_none()
    if row is None:
        return Stopped(by_setting=False)
    is_behind = row.batches > 0 if sent is None else row.batches < sent
    if row.released_in != row.identity or is_behind:
        return Stopped(by_setting=False, since=row.held_since)
    return None


def may_send() -> bool:
    """Whether a worker may send. Notes and logs that this is a copy. To be called outside transactions."""
    if is_turned_off():
        return False
    found = held_reason()
    db.session.rollback()  # whoever asks may be about to wait for another server
    if found is None:
        return True
    if found.since is None:
        with transaction() as session:
            session.execute(select(Sending.id).with_for_update())
            # Somebody may have released it meanwhile. On PostgreSQL any change of the row would hold it again.
            if held_reason() is not None:
                session.execute(update(Sending).where(Sending.held_since.is_(None)).values(held_since=now()))
    quiet.warn("sending", found.sentence)
    return False


def require_sending() -> None:
    """Raise `DomainError` if nothing may be sent. For what somebody sends by hand."""
    found = stopped()
    if found is None:
        return
    if found.by_setting:
        raise DomainError(_("Nothing was sent: sending is turned off for this service."))
    raise DomainError(_("Nothing was sent: this service's database was restored or copied, and is not released yet."))


def release(connection: Connection) -> None:
    """Let this database send, in the caller's transaction."""
    _make_row(connection)
    if connection.dialect.name == "postgresql":
        connection.execute(update(Sending).values(released_in=_NEW_IDENTITY, held_since=None))
        return
    batches = max(connection.scalars(select(Sending.batches)).one(), _batches_sent(connection) or 0)
    connection.execute(update(Sending).values(released_in=_identity(connection), held_since=None, batches=batches))
    note_batch(connection, batches)


def hold(connection: Connection, since: datetime | None) -> None:
    """Let this database send nothing until it is released, in the caller's transaction."""
    _make_row(connection)
    connection.execute(update(Sending).values(released_in=None, held_since=since))


def _make_row(connection: Connection) -> None:
    insert = insert_into_postgresql if connection.dialect.name == "postgresql" else insert_into_sqlite
    connection.execute(insert(Sending).values(id=1, batches=0).on_conflict_do_nothing())


def _reading() -> AbstractContextManager[Connection]:
    """A connection whose reads are not older than the count beside the database."""
    return db.engine.connect() if db.engine.dialect.name == "sqlite" else nullcontext(db.session.connection())


def _identity(connection: Connection) -> ColumnElement[str]:
    """What tells this database from its copies, as far as the row can be compared with it."""
    if connection.dialect.name == "postgresql":
        return _IDENTITY
    with suppress(OSError):
        return literal(str(_file(connection).stat().st_ino))
    return literal("")


# On SQLite: the count of the workers' batches


def count_batch(connection: Connection) -> int | None:
    """Count a batch in the row, in its own transaction. Returns the number, for `note_batch`. None on PostgreSQL."""
    return connection.scalar(_COUNT) if connection.dialect.name == "sqlite" else None


def note_batch(connection: Connection, number: int) -> None:
    """Write the number of a committed batch beside the database. If that fails, log it and go on."""
    try:
        database = _file(connection).stat()
        file = os.open(_count_file(connection), os.O_RDWR | os.O_CREAT, database.st_mode & 0o666)
        try:
            _lock(file)
            if os.fstat(file).st_uid != database.st_uid:  # made by root, for whoever runs the workers
                os.fchown(file, database.st_uid, database.st_gid)
            if int(os.pread(file, _COUNT_DIGITS, 0) or 0) < number:
                os.pwrite(file, f"{number:0{_COUNT_DIGITS}}".encode(), 0)
        finally:
            os.close(file)
    except (OSError, ValueError) as error:
        quiet.warn("batches", f"The count of batches beside the database cannot be written: {error}")


def _lock(file: int) -> None:
    """Lock the count's file until it is closed. Another worker holds it for a moment only, so wait no longer than that.

    A worker that was suspended with the lock in hand would hold up all others. Without the lock, two workers may write
    at the same time and the count may be one too low until the next batch.
    """
    end = monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > end:
                return
            sleep(_LOCK_SECONDS / 50)
        else:
            return


def _batches_sent(connection: Connection) -> int | None:
    """The count beside the database. None if there is none. Always 0 on PostgreSQL."""
    if connection.dialect.name != "sqlite":
        return 0
    try:
        return int(_count_file(connection).read_bytes() or 0)
    except (OSError, ValueError):
        return None


def _file(connection: Connection) -> Path:
    return Path(str(connection.engine.url.database))


def _count_file(connection: Connection) -> Path:
    return Path(f"{_file(connection)}-sent")
