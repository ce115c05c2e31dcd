"""Column types shared by the models."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import CheckConstraint, Enum


def text_enum(kind: type[StrEnum]) -> Enum:
    """Stores an enum by its values, as plain text; `one_of` guards the column."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


def one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    """The database's own word on which values a column may hold."""
    values = ", ".join(f"'{member.value}'" for member in kind)
    return CheckConstraint(f"{column} IN ({values})", name=column)
