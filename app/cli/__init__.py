"""The operator's commands: `flask --app wsgi ...`. Results go to stdout, everything else to stderr."""

from __future__ import annotations

from flask import Flask

from app.cli import bounces, check, client, database, issuer, jobs, mail, outbox, portal, secrets, user, webhooks
from app.cli import erase as _erase  # noqa: F401 - it adds its commands to the groups of clients and users


def init_app(app: Flask) -> None:
    """Add our commands to an app."""
    for commands in (portal, user, client, jobs, outbox, mail, bounces, issuer, webhooks, secrets):
        app.cli.add_command(commands.group)
    app.cli.add_command(client.import_command)
    app.cli.add_command(database.group)
    app.cli.add_command(jobs.worker)
    app.cli.add_command(check.command)
