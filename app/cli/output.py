"""What commands about people, portals and clients share: options, and how results are printed.

Tables are lines with tabs between the cells, without a heading, so that other programs can read them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import click

from app.queue import sending

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
of_portal = click.option("--portal", "portal_id", required=True, metavar="ID", help="The portal's id.")
with_yes = click.option("--yes", is_flag=True, help="Do it. Without this, only say what would be destroyed.")


def print_records(
    records: Iterable[Mapping[str, object]], columns: Sequence[str] | None = None, *, as_json: bool
) -> None:
    """Print records while they are read: a JSON array of all that they hold, or a line of these columns for each."""
    if not as_json:
        for record in records:
            click.echo("\t".join(_cell(record[column]) for column in columns or record))
        return
    before = "["
    for record in records:
        click.echo(f"{before}{json.dumps(record, ensure_ascii=False)}", nl=False)
        before = ",\n"
    click.echo("[]" if before == "[" else "]")


def print_json(value: Mapping[str, object]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def moment(at: datetime | None) -> str | None:
    """A time in UTC, to the second (RFC 3339)."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def say_if_stopped() -> None:
    """Say on standard error that nothing goes out, if so. For commands that leave mails waiting."""
    if stopped := sending.stopped():
        click.echo(stopped.sentence, err=True)


def require_yes(yes: bool, what: str) -> None:
    """Refuse without --yes. `what`: a sentence about what would be destroyed."""
    if not yes:
        raise click.ClickException(f"{what} To do so, add --yes.")


def counted(number: int, word: str) -> str:
    """A number with its word, such as "1 client" and "2,000 clients"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def read_password(password: str | None, *, from_stdin: bool) -> str:
    """The password of the option, or the first line of standard input. Raises `UsageError` for none or both."""
    if from_stdin == bool(password):
        raise click.UsageError("Enter the password with either --password-stdin or --password.")
    if password:
        return password
    # As bytes: the text stream would take bytes that are no UTF-8 for characters that cannot be hashed.
    line = sys.stdin.buffer.readline().decode().rstrip("\r\n")
    if not line:
        raise click.UsageError("The first line of standard input is empty; it must be the password.")
    return line


def _cell(value: object) -> str:
    """A value on one line, without what a terminal would take for a command."""
    text = "-" if value is None else str(value)
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
