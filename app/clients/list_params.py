"""List parameters of the Imported Clients table: its filters, its order, its page. They live in the URL.

Whatever the URL holds that is unknown or broken is ignored: an old or mangled link still shows a table.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from flask_babel import gettext as _

from app.core.i18n import lazy
from app.models import ClientStatus

PAGE_SIZES = (25, 50, 100)

_LONGEST_TERM = 254

E = TypeVar("E", bound=StrEnum)


class Health(StrEnum):
    """How an invitation is doing, as a filter; each narrows to pending clients."""

    WAITING = "waiting"
    FAILED = "failed"
    EXPIRED = "expired"
    ATTENTION = "attention"
    """Failed, expired, expiring soon, or registered and not verified: somebody should look."""


_STATUS_LABELS = {
    ClientStatus.INVITE_SENT: lazy("Invite Sent"),
    ClientStatus.JOINED: lazy("Joined"),
}
_HEALTH_LABELS = {
    Health.WAITING: lazy("Waiting"),
    Health.FAILED: lazy("Not delivered"),
    Health.EXPIRED: lazy("Expired"),
    Health.ATTENTION: lazy("Needs attention"),
}


class SortColumn(StrEnum):
    """What the table can be ordered by; the first is the default, newest first."""

    CREATED = "created"
    COMPANY_NAME = "company_name"
    EMAIL = "email"
    STATUS = "status"
    EMAIL_LAST_SENT = "email_last_sent"


@dataclass(frozen=True)
class Cursor:
    """A place in the ordered table: the sort key and id of the row beside it."""

    key: str | datetime | None
    client_id: UUID
    backwards: bool = False
    """Whether the page ends before this row, instead of beginning after it."""


@dataclass(frozen=True)
class TableView:
    """Filters (all must hold), order and page, and who asks. The default is everything, newest first."""

    statuses: frozenset[ClientStatus] = frozenset()
    company_name: str = ""
    email: str = ""
    health: Health | None = None
    sort: SortColumn = SortColumn.CREATED
    descending: bool = True
    size: int = PAGE_SIZES[0]
    cursor: Cursor | None = field(default=None, compare=False)
    asker_id: int | None = None
    """The user who asks, for a filter that means "by me". Never in an address: a link means each reader's own."""

    @property
    def is_filtered(self) -> bool:
        return bool(self.filter_arguments())

    def sorted_by(self, name: str) -> TableView:
        """The view after a press on a column's header: by it, or the other way round if it was so already."""
        column = SortColumn(name)
        descending = not self.descending if column is self.sort else False
        return replace(self, sort=column, descending=descending, cursor=None)

    def aria_sort(self, name: str) -> str:
        """The value of a column header's attribute of that name."""
        if name != self.sort:
            return "none"
        return "descending" if self.descending else "ascending"

    def only(self, health: str | None = None, status: str | None = None) -> TableView:
        """The view that a number at a glance leads to: its filter and no other."""
        statuses = frozenset({ClientStatus(status)}) if status else frozenset()
        unfiltered = TableView(sort=self.sort, descending=self.descending, size=self.size, asker_id=self.asker_id)
        return replace(unfiltered, statuses=statuses, health=Health(health) if health else None)

    def without(self, name: str) -> TableView:
        """The view without one of its filters: what pressing a chip does."""
        empty = TableView()
        return replace(self, cursor=None, **{name: getattr(empty, name)})

    def sized(self, size: int) -> TableView:
        """The view with another number of rows a page, from its beginning."""
        return replace(self, size=size, cursor=None)

    def chips(self) -> list[tuple[str, str]]:
        """The filters that hold: the name that `without` takes, and what to call it."""
        labels = {
            "statuses": ", ".join(str(_STATUS_LABELS[status]) for status in sorted(self.statuses)),
            "health": str(_HEALTH_LABELS[self.health]) if self.health else "",
            "company_name": _("Company Name: %(term)s", term=self.company_name) if self.company_name else "",
            "email": _("Email: %(term)s", term=self.email) if self.email else "",
        }
        return [(name, label) for name, label in labels.items() if label]

    def order_arguments(self) -> dict[str, str]:
        """Order and page size as arguments of a URL: what a filter form carries along."""
        arguments = {}
        if (self.sort, self.descending) != (SortColumn.CREATED, True):
            arguments["sort"] = f"-{self.sort}" if self.descending else self.sort.value
        if self.size != PAGE_SIZES[0]:
            arguments["size"] = str(self.size)
        return arguments

    def filter_arguments(self) -> dict[str, Any]:
        """The filters alone as arguments of a URL."""
        arguments: dict[str, Any] = {}
        if self.statuses:
            arguments["status"] = sorted(self.statuses)
        if self.company_name:
            arguments["company_name"] = self.company_name
        if self.email:
            arguments["email"] = self.email
        if self.health:
            arguments["health"] = self.health.value
        return arguments

    def query(self) -> dict[str, Any]:
        """The view as arguments of a URL; what is as by default is left out."""
        arguments = self.filter_arguments() | self.order_arguments()
        if self.cursor:
            arguments["before" if self.cursor.backwards else "after"] = _write_cursor(self.cursor)
        return arguments

    def query_string(self) -> str:
        """The same as a URL has it, with its question mark; empty for the default."""
        text = urlencode(self.query(), doseq=True)
        return f"?{text}" if text else ""


def read_view(arguments: Mapping[str, Sequence[str]], asker_id: int | None = None) -> TableView:
    """The view that a user asks for by the arguments of a URL: each name with its values."""
    sort_text = _first(arguments, "sort")
    sort = _member(SortColumn, sort_text.removeprefix("-"))
    size_text = _first(arguments, "size")
    statuses = frozenset(s for s in (_member(ClientStatus, text) for text in arguments.get("status", ())) if s)
    view = TableView(
        # Both boxes ask for the same as none.
        statuses=statuses if len(statuses) < len(ClientStatus) else frozenset(),
        company_name=_term(_first(arguments, "company_name")),
        email=_term(_first(arguments, "email")),
        health=_member(Health, _first(arguments, "health")),
        sort=sort or SortColumn.CREATED,
        descending=sort_text.startswith("-") if sort else True,
        size=next((size for size in PAGE_SIZES if str(size) == size_text), PAGE_SIZES[0]),
        asker_id=asker_id,
    )
    after = _read_cursor(_first(arguments, "after"), view.sort)
    before = _read_cursor(_first(arguments, "before"), view.sort)
    return replace(view, cursor=after or (replace(before, backwards=True) if before else None))


def _first(arguments: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(arguments.get(name, ())), "")


def _member(kind: type[E], text: str) -> E | None:
    return next((member for member in kind if member.value == text), None)


def _term(text: str) -> str:
    # No stored text has a NUL, and PostgreSQL refuses to look for one.
    return text.replace("\0", "").strip()[:_LONGEST_TERM]


def _write_cursor(cursor: Cursor) -> str:
    key = cursor.key.isoformat() if isinstance(cursor.key, datetime) else cursor.key
    return base64.urlsafe_b64encode(json.dumps([key, cursor.client_id.hex]).encode()).decode().rstrip("=")


def _read_cursor(text: str, sort: SortColumn) -> Cursor | None:
    try:
        key, client_hex = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        cursor = Cursor(_read_key(key, sort), UUID(client_hex))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return cursor


def _read_key(key: object, sort: SortColumn) -> str | datetime | None:
    if sort is SortColumn.CREATED:
        return None
    if not isinstance(key, str) or "\0" in key:
        raise ValueError("not a key of this order")
    key.encode()  # half a surrogate pair, which no database takes, ends here
    if sort is SortColumn.STATUS:
        return ClientStatus(key)
    if sort is SortColumn.EMAIL_LAST_SENT:
        at = datetime.fromisoformat(key)
        if at.tzinfo is None:
            raise ValueError("a moment without a zone")
        return at.astimezone(UTC)
    return key
