from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base


class AppliedMigration(Base):
    """A migration that ran on this database; `migrations/env.py` inserts the row. Those before 0016 have none."""

    __tablename__ = "applied_migration"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)
    older_code_may_run: Mapped[bool]
    """Whether code that does not know this migration may run on this schema."""
