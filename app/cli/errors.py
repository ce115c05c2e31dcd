"""How commands report refusals, wrong usage and database errors: one line each, and never a stack trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError

from app.audit.caller import acting_as
from app.core.errors import DomainError
from app.core.redaction import redact
from app.core.text_errors import TextError
from app.db.schema import OTHER_SCHEMA, may_run_on_schema
from app.extensions import db
from app.models import ActorKind


class WrongUsage(click.ClickException):
    """Wrong arguments: one line, and exit code 2."""

    exit_code = 2


class PlainGroup(AppGroup):
    """A group whose commands run on our schema only, and say in one line why they refuse.

    With `needs_schema=False`, each command looks after the database by itself.
    """

    def __init__(self, *args: Any, needs_schema: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._needs_schema = needs_schema

    def command(self, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], click.Command]:  # type: ignore[override]
        decorate = super().command(*args, **kwargs)

        def add(callback: Callable[..., Any]) -> click.Command:
            return decorate(on_our_schema(callback) if self._needs_schema else callback)

        return add

    def invoke(self, context: click.Context) -> Any:
        with one_line_errors():
            return super().invoke(context)


class PlainCommand(click.Command):
    """A command of no such group, with the same manners."""

    def __init__(
        self, name: str | None, callback: Callable[..., Any], *, needs_schema: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(
            name, callback=with_appcontext(on_our_schema(callback) if needs_schema else callback), **kwargs
        )

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with one_line_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, context: click.Context) -> Any:
        with one_line_errors():
            return super().invoke(context)


def on_our_schema(callback: Callable[..., Any]) -> Callable[..., Any]:
    """The callback, called only if this code may run on the database's schema. Else it refuses.

    The audit trail says of what it does that an operator's command did it.
    """

    @wraps(callback)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if not may_run_on_schema():
            raise click.ClickException(f"{OTHER_SCHEMA}.")
        db.session.rollback()
        with acting_as(ActorKind.COMMAND):
            return callback(*args, **kwargs)

    return guarded


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what went wrong into one line: exit code 2 for wrong usage, 1 for everything else."""
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        sentence = _one_line(error.format_message()).removesuffix(".") + "."
        help_of = f" See: {error.ctx.command_path} --help" if error.ctx else ""
        raise WrongUsage(f"{sentence}{help_of}") from error
    except click.ClickException as refusal:
        kind = WrongUsage if refusal.exit_code == WrongUsage.exit_code else click.ClickException
        raise kind(_one_line(refusal.format_message())) from refusal
    except (DomainError, TextError) as refusal:
        raise click.ClickException(_one_line(refusal.message)) from refusal
    except UnicodeError as error:
        raise click.ClickException("This isn't UTF-8 text. Nothing was changed.") from error
    except DBAPIError as error:
        raise click.ClickException(
            f"The database can't be used right now: {words_of(error)}. Check that it is running, has free space and"
            " is up to date (flask --app wsgi db upgrade)."
        ) from error
    except sqlite3.Error as error:  # of backups, which do not go through SQLAlchemy
        raise click.ClickException(
            f"SQLite failed: {error}. Check the disk's free space and the permissions."
        ) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise click.ClickException(f"{error.filename}: {error.strerror}.") from error


def _one_line(words: str) -> str:
    """The words without the line breaks of what they quote."""
    return " ".join(words.split())


def words_of(error: DBAPIError) -> str:
    """What the database itself said: one line, without links and whole addresses."""
    return redact(str(error.orig).strip().partition("\n")[0])
