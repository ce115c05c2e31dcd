from __future__ import annotations

from sqlalchemy import Double, String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Base


class MetricTotal(Base):
    """One figure, added up over all processes that ever counted it. See `app.metrics`."""

    __tablename__ = "metric_total"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    labels: Mapped[str] = mapped_column(String(200), primary_key=True)
    """As JSON, its keys in order."""
    value: Mapped[float] = mapped_column(Double)
