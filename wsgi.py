"""The application for gunicorn (`gunicorn wsgi:app`) and for the commands (`flask --app wsgi ...`).

`python wsgi.py` is the first-run server of `make run`: SQLite, a demo portal, a local mail catcher.
"""

from __future__ import annotations

import atexit
import sys

import click
from flask import Flask

from app import create_app
from app.core.checks import Level
from app.db.encrypted_columns import warn_of_keys
from app.jobs.scheduler import start_embedded
from config import ConfigError, load_settings

_BOOT_ERROR = 3
"""gunicorn's exit code for a worker that cannot start. gunicorn then stops instead of trying again for ever."""


def _serving() -> bool:
    """Whether this process serves requests, and does not run another command."""
    command = click.get_current_context(silent=True)
    return command is None or command.info_name == "run"


def _make_app() -> Flask:
    try:
        settings = load_settings()
        made = create_app(settings)
    except ConfigError as error:
        if sys.argv[-1] == "check":  # its contract: a line for each thing, and 1 at the end
            print(f"{Level.FAIL}\tsettings\t{error}")
            sys.exit(1)
        print(f"Cannot start: {error}", file=sys.stderr)
        sys.exit(_BOOT_ERROR)
    if _serving():
        if settings.scheduler == "embedded":
            atexit.register(start_embedded(made).stop)
        else:
            warn_of_keys(made)
    return made


if __name__ == "__main__":
    from app.demo.server import main

    main()
else:
    app = _make_app()
