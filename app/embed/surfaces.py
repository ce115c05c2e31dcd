"""What we show inside a page of the host shell, and in which way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Surface(StrEnum):
    """What we show: the whole tab Imported Clients, or only its table."""

    TAB = "tab"
    TABLE = "table"


class Way(StrEnum):
    """How it is embedded: inline in a page of our own origin, or in a frame."""

    INLINE = "inline"
    FRAME = "frame"


@dataclass(frozen=True)
class Embedding:
    surface: Surface
    way: Way

    @classmethod
    def read(cls, text: str) -> Embedding | None:
        """The inverse of `str`; None for any other text."""
        surface, _space, way = text.partition(" ")
        try:
            return cls(Surface(surface), Way(way))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.surface} {self.way}"

    @property
    def has_tools(self) -> bool:
        """Whether the toolbar above the table is shown."""
        return self.surface is Surface.TAB

    @property
    def in_frame(self) -> bool:
        return self.way is Way.FRAME
