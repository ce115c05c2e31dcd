"""How commands report refusals and database errors."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError

from app.core.errors import DomainError
from app.core.redaction import redact
from app.core.text_errors import TextError


class PlainGroup(AppGroup):
    """A group whose commands show a refusal or a database error as one line instead of a stack trace."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (DomainError, TextError) as refusal:
            raise click.ClickException(refusal.message) from refusal
        except DBAPIError as error:
            raise click.ClickException(
                f"The database can't be used right now: {words_of(error)}. Check that it is running, has free space and"
                " is up to date (flask --app wsgi db upgrade)."
            ) from error


def words_of(error: DBAPIError) -> str:
    """What the database itself said: one line, without links and whole addresses."""
    return redact(str(error.orig).strip().partition("\n")[0])
