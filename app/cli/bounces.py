"""`flask bounces ...`: reports on mails that a mail server hands us."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click
from sqlalchemy.exc import DBAPIError

from app.bounces.report import READ_BYTES
from app.bounces.service import ingest as read_message
from app.cli.errors import PlainGroup

group = PlainGroup("bounces", help="Reports on emails that couldn't be delivered.", needs_schema=False)

_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: the mail server keeps the message and calls us again."""
_DROPPED_AT_ONCE = 64 * 1024


@group.command("ingest")
def ingest() -> None:
    """Read one message from standard input, as a mail server's alias gives it, and record what it reports.

    Exit code 0, whatever it was; 75 while the database cannot be used, so that the mail server tries again.
    """
    content = _read(sys.stdin.buffer)
    try:
        read_message(content)
    except DBAPIError as error:
        click.echo("The database can't be used right now.", err=True)
        raise click.exceptions.Exit(_TRY_AGAIN) from error


def _read(stream: BinaryIO) -> bytes:
    """The beginning of a message. The rest is read too, or the mail server would count a broken pipe as a failure."""
    content = stream.read(READ_BYTES)
    while stream.read(_DROPPED_AT_ONCE):
        pass
    return content
