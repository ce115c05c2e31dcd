from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base
from app.models.types import UtcDateTime


class Sending(Base):
    """One row: in which database sending was released. `app.queue.sending` tells by it whether this is a copy.

    On PostgreSQL the row's own xmin counts, so a migration that rewrites this table has to release it again.
    """

    __tablename__ = "sending"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    released_in: Mapped[str | None] = mapped_column(String(64))
    """The identity of the database in which sending was released. None after `db restore`."""
    batches: Mapped[int] = mapped_column(default=0, server_default="0")
    """On SQLite, how many batches the workers have committed."""
    held_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When somebody first noticed that this is a copy. None while sending is released."""
