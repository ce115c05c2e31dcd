"""What of an audit trail somebody looks at: filters and page. They are kept in the URL.

Unknown or broken parameters are ignored, as in the table of clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from app.audit.words import Group
from app.models import ActorKind

_LARGEST_ID = 2**31 - 1
"""The largest value of PostgreSQL's integer; a query for a larger one fails."""


@dataclass(frozen=True)
class AuditView:
    """Filters, combined with AND, and the page. By default everything, newest first."""

    person: int | None = None
    """The account that acts or that a line is about."""
    actor: ActorKind | None = None
    """Who acts, if that is no account."""
    group: Group | None = None
    since: date | None = None
    until: date | None = None
    """The first and the last day, in UTC."""
    before: int | None = field(default=None, compare=False)
    """The page begins after this line: with an older one."""
    after: int | None = field(default=None, compare=False)
    """The page ends before this line: with a newer one."""

    @property
    def is_filtered(self) -> bool:
        return self != AuditView()

    @property
    def who(self) -> str:
        """The value of the filter by who acts."""
        return str(self.person or self.actor or "")

    def at(self, *, before: int | None = None, after: int | None = None) -> AuditView:
        """The same filters at another page."""
        return replace(self, before=before, after=after)

    def filter_arguments(self) -> dict[str, str]:
        """The filters as URL arguments. Those that filter nothing are left out."""
        arguments = {
            "who": self.who,
            "kind": self.group or "",
            "from": self.since.isoformat() if self.since else "",
            "to": self.until.isoformat() if self.until else "",
        }
        return {name: str(value) for name, value in arguments.items() if value}

    def query(self) -> dict[str, Any]:
        """The view as URL arguments."""
        place = {"before": self.before, "after": self.after}
        return self.filter_arguments() | {name: str(value) for name, value in place.items() if value}


def read_view(arguments: Mapping[str, str]) -> AuditView:
    """The view in the arguments of a URL."""
    who, group = arguments.get("who", ""), arguments.get("kind", "")
    before = _id(arguments.get("before", ""))
    return AuditView(
        person=_id(who),
        actor=next((kind for kind in ActorKind if kind.value == who and kind is not ActorKind.PERSON), None),
        group=next((one for one in Group if one.value == group), None),
        since=_day(arguments.get("from", "")),
        until=_day(arguments.get("to", "")),
        before=before,
        after=_id(arguments.get("after", "")) if before is None else None,
    )


def _id(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(_LARGEST_ID)) else 0
    return number if 0 < number <= _LARGEST_ID else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
