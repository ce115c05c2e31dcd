"""Helpers for the commands of both queues, mails and webhooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TypeVar

import click

from app.core.clock import now
from app.outbox import maintenance as outbox
from app.webhooks import maintenance as webhooks

_Id = TypeVar("_Id")


def print_status(lines: Iterable[outbox.StatusLine | webhooks.StatusLine], what: str) -> None:
    """Print a table with a row for each state and one for each portal in it. `lines` must be ordered by state."""
    rows = [("STATE", "PORTAL", what, "OLDEST")]
    for state, its_lines in groupby(lines, key=lambda line: line.state):
        found = list(its_lines)
        rows.append((state, "(all)", str(sum(one.count for one in found)), age(min(one.oldest for one in found))))
        rows += [("", one.portal_id or "(none)", str(one.count), age(one.oldest)) for one in found]
    print_table(rows)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, with "-" for None."""
    print_table([(name, "-" if value is None else str(value)) for name, value in facts.items()])


def retry(
    one: _Id | None,
    every: bool,
    portal_id: str | None,
    *,
    usage: str,
    retry_one: Callable[[_Id], None],
    retry_every: Callable[[str | None], int],
) -> None:
    """Queue one item again, or every failed one (of one portal if given), and print the number.

    Raises `UsageError` with the text `usage` for any other combination of arguments.
    """
    if (one is None) != every or (portal_id and not every):
        raise click.UsageError(usage)
    if one is None:
        queued = retry_every(portal_id)
    else:
        retry_one(one)
        queued = 1
    click.echo(f"{queued} queued again")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def age(since: datetime) -> str:
    """The time since a moment, in whole units of the largest unit that fits."""
    seconds = max(0, int((now() - since).total_seconds()))
    for unit, length in (("d", 24 * 60 * 60), ("h", 60 * 60), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
