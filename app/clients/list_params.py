"""List parameters of the Imported Clients table: filters, order and page. They are kept in the URL.

Unknown or broken parameters are ignored, so that an old or mangled link still shows a table.
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
from app.core.ids import read_id
from app.models import ClientStatus

PAGE_SIZES = (25, 50, 100)

_LONGEST_TERM = 254

E = TypeVar("E", bound=StrEnum)


class Health(StrEnum):
    """A filter by the state of the invitation. Every value matches pending clients only."""

    WAITING = "waiting"
    FAILED = "failed"
    EXPIRED = "expired"
    ATTENTION = "attention"
    """Failed, expired, expiring soon, or registered and not verified: the client needs an admin's attention."""


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
    """The columns that the table can be ordered by. The first is the default, in descending order."""

    CREATED = "created"
    COMPANY_NAME = "company_name"
    EMAIL = "email"
    STATUS = "status"
    EMAIL_LAST_SENT = "email_last_sent"


@dataclass(frozen=True)
class Cursor:
    """A position in the ordered table: sort key and id of the row next to the page."""

    key: str | datetime | None
    client_id: UUID
    backwards: bool = False
    """Whether the page ends before this row. Otherwise it begins after the row."""


@dataclass(frozen=True)
class TableView:
    """Filters (combined with AND), order and page, and the asking user. By default all clients, newest first."""

    statuses: frozenset[ClientStatus] = frozenset()
    search: str = ""
    """A part of the name or the address."""
    company_name: str = ""
    email: str = ""
    health: Health | None = None
    import_id: UUID | None = None
    """The import that added the clients. `read_view` cannot tell whether the portal has it: `asked_view` does."""
    import_name: str = field(default="", compare=False)
    """The name of that import's file, for its chip."""
    sort: SortColumn = SortColumn.CREATED
    descending: bool = True
    size: int = PAGE_SIZES[0]
    cursor: Cursor | None = field(default=None, compare=False)
    asker_id: int | None = None
    """The asking user, for a filter that means "by me". Never in a URL, so that a shared link means its own reader."""

    @property
    def is_filtered(self) -> bool:
        return bool(self.filter_arguments())

    def sorted_by(self, name: str) -> TableView:
        """The view after a click on a column's header: in its order, reversed if it already was, then newest first."""
        column = SortColumn(name)
        if column is not self.sort:
            return replace(self, sort=column, descending=False, cursor=None)
        if not self.descending:
            return replace(self, descending=True, cursor=None)
        return replace(self, sort=SortColumn.CREATED, descending=True, cursor=None)

    @property
    def is_newest_first(self) -> bool:
        return (self.sort, self.descending) == (SortColumn.CREATED, True)

    def aria_sort(self, name: str) -> str:
        """The value of a column header's `aria-sort` attribute."""
        if name != self.sort:
            return "none"
        return "descending" if self.descending else "ascending"

    def only(self, health: str | None = None, status: str | None = None) -> TableView:
        """The view of a filter tab: only this filter, or none."""
        statuses = frozenset({ClientStatus(status)}) if status else frozenset()
        unfiltered = TableView(sort=self.sort, descending=self.descending, size=self.size, asker_id=self.asker_id)
        return replace(unfiltered, statuses=statuses, health=Health(health) if health else None)

    def without(self, name: str) -> TableView:
        """The view without one of its filters, for the chip that removes the filter."""
        empty = TableView()
        return replace(self, cursor=None, **{name: getattr(empty, name)})

    def sized(self, size: int) -> TableView:
        """The view with another page size, at its first page."""
        return replace(self, size=size, cursor=None)

    def chips(self) -> list[tuple[str, str]]:
        """The active filters: the name for `without`, and the label."""
        labels = {
            "statuses": ", ".join(str(_STATUS_LABELS[status]) for status in sorted(self.statuses)),
            "health": str(_HEALTH_LABELS[self.health]) if self.health else "",
            "import_id": _("Import: %(file)s", file=self.import_name) if self.import_id else "",
            "search": _("Search: %(term)s", term=self.search) if self.search else "",
            "company_name": _("Company Name: %(term)s", term=self.company_name) if self.company_name else "",
            "email": _("Email: %(term)s", term=self.email) if self.email else "",
        }
        return [(name, label) for name, label in labels.items() if label]

    def order_arguments(self) -> dict[str, str]:
        """Order and page size as URL arguments."""
        arguments = {}
        if not self.is_newest_first:
            arguments["sort"] = f"-{self.sort}" if self.descending else self.sort.value
        if self.size != PAGE_SIZES[0]:
            arguments["size"] = str(self.size)
        return arguments

    def panel_arguments(self) -> dict[str, str]:
        """What the filter panel carries along as URL arguments: search term, import, order and page size."""
        carried = {"q": self.search, "import": str(self.import_id) if self.import_id else ""}
        return {name: value for name, value in carried.items() if value} | self.order_arguments()

    def filter_arguments(self) -> dict[str, Any]:
        """The filters as URL arguments."""
        arguments: dict[str, Any] = {}
        if self.statuses:
            arguments["status"] = sorted(self.statuses)
        if self.search:
            arguments["q"] = self.search
        if self.company_name:
            arguments["company_name"] = self.company_name
        if self.email:
            arguments["email"] = self.email
        if self.health:
            arguments["health"] = self.health.value
        if self.import_id:
            arguments["import"] = str(self.import_id)
        return arguments

    def query(self) -> dict[str, Any]:
        """The view as URL arguments. Defaults are left out."""
        arguments = self.filter_arguments() | self.order_arguments()
        if self.cursor:
            arguments["before" if self.cursor.backwards else "after"] = _write_cursor(self.cursor)
        return arguments

    def query_string(self) -> str:
        """The view as a URL's query string with its question mark, or empty for the default view."""
        text = urlencode(self.query(), doseq=True)
        return f"?{text}" if text else ""


def read_view(arguments: Mapping[str, Sequence[str]], asker_id: int | None = None) -> TableView:
    """The view in the arguments of a URL, given as names with lists of values."""
    sort_text = _first(arguments, "sort")
    sort = _member(SortColumn, sort_text.removeprefix("-"))
    size_text = _first(arguments, "size")
    statuses = frozenset(s for s in (_member(ClientStatus, text) for text in arguments.get("status", ())) if s)
    view = TableView(
        # Ticking both statuses means the same as ticking none.
        statuses=statuses if len(statuses) < len(ClientStatus) else frozenset(),
        search=read_term(_first(arguments, "q")),
        company_name=read_term(_first(arguments, "company_name")),
        email=read_term(_first(arguments, "email")),
        health=_member(Health, _first(arguments, "health")),
        import_id=read_id(_first(arguments, "import")),
        sort=sort or SortColumn.CREATED,
        descending=sort_text.startswith("-") if sort else True,
        size=next((size for size in PAGE_SIZES if str(size) == size_text), PAGE_SIZES[0]),
        asker_id=asker_id,
    )
    after = _read_cursor(_first(arguments, "after"), view.sort)
    before = _read_cursor(_first(arguments, "before"), view.sort)
    return replace(view, cursor=after or (replace(before, backwards=True) if before else None))


def read_term(text: str) -> str:
    """What somebody searches for, as it is compared: bounded, with single spaces, and without what no text contains."""
    # No stored text contains a NUL, and PostgreSQL rejects one in a query. Spaces are single in names.
    return " ".join(text.replace("\0", "").split())[:_LONGEST_TERM].rstrip()


def _first(arguments: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(arguments.get(name, ())), "")


def _member(kind: type[E], text: str) -> E | None:
    return next((member for member in kind if member.value == text), None)


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
    key.encode()  # raises ValueError for a lone surrogate, which no database accepts
    if sort is SortColumn.STATUS:
        return ClientStatus(key)
    if sort is SortColumn.EMAIL_LAST_SENT:
        at = datetime.fromisoformat(key)
        if at.tzinfo is None:
            raise ValueError("a moment without a zone")
        return at.astimezone(UTC)
    return key
