"""What of us stands inside a page of the host shell, and how."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Surface(StrEnum):
    """The whole tab Imported Clients, or its table alone."""

    TAB = "tab"
    TABLE = "table"


class Way(StrEnum):
    """In the page itself, which is of our own origin, or in a frame."""

    INLINE = "inline"
    FRAME = "frame"


@dataclass(frozen=True)
class Embedding:
    surface: Surface
    way: Way

    @classmethod
    def read(cls, text: str) -> Embedding | None:
        """What `str` wrote, or None for anything else."""
        surface, _space, way = text.partition(" ")
        try:
            return cls(Surface(surface), Way(way))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.surface} {self.way}"

    @property
    def has_tools(self) -> bool:
        """Whether there are tools above the table."""
        return self.surface is Surface.TAB

    @property
    def in_frame(self) -> bool:
        return self.way is Way.FRAME
