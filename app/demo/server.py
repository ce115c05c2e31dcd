"""`python wsgi.py`: web server, scheduler, mail catcher and demo portals in one process, for this machine only."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic

from alembic import command
from alembic.util import CommandError
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app import create_app
from app.db.encrypted_columns import reseal
from app.demo.catcher import HOST, catching_mails
from app.demo.data import HARBOUR, PASSWORD
from app.demo.mailbox import Mailbox
from app.demo.seed import seed_demo
from app.demo.settings import demo_settings
from app.demo.viewer import mail_viewer
from app.jobs.scheduler import start_embedded
from config import ROOT, ConfigError, MailSettings, Settings
from webserver.server import Server

_THREADS = 8
_FINISH_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGINT or SIGTERM. If it cannot start, it exits with code 1 and one line that says why."""
    folder = _folder(arguments)
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    with ExitStack() as running:
        try:
            server = _start(folder, running)
        except ConfigError as error:
            sys.exit(f"Cannot start: {error}")
        except OSError as error:
            sys.exit(f"Cannot start: {error.filename or folder}: {error.strerror or error}")
        try:
            server.run()
        except SystemExit:
            # Leaving the block then calls the callbacks of `running` in reverse order.
            deadline = monotonic() + _FINISH_SECONDS
            server.finish(lambda: monotonic() < deadline)


def _folder(arguments: Sequence[str] | None) -> Path:
    parser = argparse.ArgumentParser(description="Try Imported Clients out on this machine.")
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "var",
        help="where the demo keeps its database, secret key and emails (default: %(default)s)",
    )
    folder: Path = parser.parse_args(arguments).folder
    return folder.absolute()


def _leave(_signal: int, _frame: object) -> None:
    # A supervisor may signal both the process and its group. The second signal must not interrupt the shutdown.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


def _start(folder: Path, running: ExitStack) -> Server:
    """Start everything, register its end with `running`, and return the web server, ready to run."""
    settings = demo_settings(folder)
    # First of all: if the port is taken, nothing else should be created.
    listener = running.enter_context(_listen(settings.port))
    mailbox = None
    if settings.mail is None:
        mailbox = Mailbox(folder / "mails")
        port = running.enter_context(catching_mails(mailbox))
        settings = replace(
            settings, mail=MailSettings(HOST, port, use_tls=False, use_ssl=False, username=None, password=None)
        )
    app = create_app(settings)
    if mailbox is not None:
        app.register_blueprint(mail_viewer(mailbox))
    has_demo = _prepare_database(app)
    # A log line for each request would soon scroll the printed addresses and password off the screen.
    logging.getLogger("app.observability.request_log").setLevel(logging.WARNING)
    server = Server(app, [listener], threads=_THREADS, find_limit=app.extensions["body_limit"])
    if settings.scheduler == "embedded":
        running.callback(start_embedded(app).stop)
    _say_where(settings, has_demo=has_demo, has_viewer=mailbox is not None)
    return server


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise ConfigError(
            f"PORT {port} cannot be used ({error.strerror}). Stop what uses it, or choose another: PORT=8001 make run"
        ) from error


def _prepare_database(app: Flask) -> bool:
    """Migrate the schema and create the demo portals. Returns whether they exist. Raises `ConfigError`."""
    try:
        with app.app_context():
            command.upgrade(app.extensions["migrate"].migrate.get_config(), "head")
            reseal()
            return seed_demo()
    except CommandError as error:
        raise ConfigError(f"DATABASE_URL names a database of another version of this program: {error}") from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        reason = getattr(error, "orig", None) or error
        raise ConfigError(f"DATABASE_URL names a database that cannot be used: {reason}") from error


def _say_where(settings: Settings, *, has_demo: bool, has_viewer: bool) -> None:
    start = f"http://localhost:{settings.port}"
    lines = [
        "Imported Clients is running, for this machine only.",
        "",
        f"  Start page         {start}/",
    ]
    if has_demo:
        lines.append(f"  Imported Clients   {start}/portals/{HARBOUR.id}/settings/accounts/imported-clients")
    if has_viewer:
        lines.append(f"  Emails             {start}/demo/mail")
    elif settings.mail is not None:
        lines.append(f"  Emails             go to {settings.mail.server}:{settings.mail.port} (MAIL_SERVER)")
    if has_demo:
        lines += [
            "",
            f"  Sign in as         {HARBOUR.admin.email} (client admin) or {HARBOUR.staff[0].email} (staff)",
            f"  Password           {PASSWORD}",
        ]
    else:
        lines += ["", "  No demo portal was made: the database already holds other data."]
    if settings.scheduler == "off":
        lines.append("  No email is sent: SCHEDULER is off.")
    print("\n".join([*lines, "", "Press Ctrl+C to stop."]), flush=True)
