"""What is found of one DNS record of a sender's domain: how it is, in a sentence, and what to set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SHOWN_LENGTH = 400
"""Of a record as it stands in the DNS, in characters."""
_LONGEST_PROPOSAL = 2000


class Status(StrEnum):
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"
    """Not asked, or not answered."""


@dataclass(frozen=True)
class Finding:
    """One record. `found` is what is in the DNS, cut to a length; `proposal` is what to set at `name`, if anything."""

    record: str
    """SPF, DKIM, DMARC or MX; Sender for what is said of the domain as a whole."""
    status: Status
    sentence: str
    name: str
    found: tuple[str, ...] = ()
    proposal: str = ""


def shown(records: Sequence[str]) -> tuple[str, ...]:
    """Records of the DNS for display: at most five, each cut to a length."""
    return tuple(one if len(one) <= SHOWN_LENGTH else f"{one[:SHOWN_LENGTH]}…" for one in records[:5])


def proposed(record: str) -> str:
    """A record to set, or "" for one of a length that nobody should set."""
    return record if len(record) <= _LONGEST_PROPOSAL else ""


def tags_of(record: str) -> dict[str, str]:
    """The tags of a DKIM or DMARC record, `name=value` between semicolons (RFC 6376, 3.2). Names in lower case."""
    pairs = (part.partition("=") for part in record.split(";") if "=" in part)
    return {name.strip().lower(): value.strip() for name, _equals, value in pairs}
