"""The operator's commands: `flask --app wsgi ...`. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from app.identity.services import create_user
from app.jobs.schedule import jobs, run_job
from app.jobs.scheduler import run_worker
from app.models import Role, TlsMode
from app.outbox.own_server import OwnServer, drop_own_server, save_own_server
from app.portals.services import all_portals, create_portal, grant_role, revoke_role
from app.problems import Problem
from app.text import TextError, clean_email, clean_person_name

portal = AppGroup("portal", help="Portals (tenants).")
user = AppGroup("user", help="Accounts and their roles.")
jobs_group = AppGroup("jobs", help="The scheduled jobs.")

_ROLES = click.Choice([role.value for role in Role])


def init_app(app: Flask) -> None:
    for group in (portal, user, jobs_group):
        app.cli.add_command(group)
    app.cli.add_command(worker)


def _plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Show a refusal as one line, not as a stack trace."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (Problem, TextError) as refusal:
            raise click.ClickException(refusal.message) from refusal

    return run


@portal.command("create")
@click.option("--name", required=True)
@click.option("--id", "portal_id", help="B-Portal's own id; without it one is made.")
@_plainly
def portal_create(name: str, portal_id: str | None) -> None:
    """Make a portal and print its id."""
    click.echo(create_portal(name, portal_id).id)


@portal.command("list")
def portal_list() -> None:
    """Print each portal's id and name."""
    for one in all_portals():
        click.echo(f"{one.id}\t{one.name}")


@portal.command("mail-server")
@click.option("--id", "portal_id", required=True)
@click.option("--host")
@click.option("--port", type=click.IntRange(1, 65535), default=587, show_default=True)
@click.option("--tls", type=click.Choice([mode.value for mode in TlsMode]), default="starttls", show_default=True)
@click.option("--username")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--sender", help="From of the portal's mails, such as 'Harbour Tours <tours@example.com>'.")
@click.option("--per-second", type=click.FloatRange(min=0, min_open=True), help="The most mails a second it takes.")
@click.option("--remove", is_flag=True, help="Use the deployment's mail server again.")
@_plainly
def portal_mail_server(portal_id: str, remove: bool, password_stdin: bool, **settings: Any) -> None:
    """Give a portal a mail server of its own, or take it away. Waiting mails go the new way."""
    if remove:
        drop_own_server(portal_id)
        return
    if not settings["host"] or not settings["sender"]:
        raise click.UsageError("Give --host and --sender, or --remove.")
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    save_own_server(portal_id, OwnServer(**settings | {"tls": TlsMode(settings["tls"])}, password=password))


@user.command("create")
@click.option("--email", required=True)
@click.option("--name", required=True)
@click.option("--password", help="Visible in the process list; prefer --password-stdin.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_plainly
def user_create(email: str, name: str, password: str | None, password_stdin: bool) -> None:
    """Make an account that counts as verified."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise click.UsageError("Give the password with --password-stdin or --password.")
    click.echo(create_user(clean_email(email), clean_person_name(name), password).email)


@user.command("grant")
@click.option("--portal", "portal_id", required=True)
@click.option("--email", required=True)
@click.option("--role", required=True, type=_ROLES)
@_plainly
def user_grant(portal_id: str, email: str, role: str) -> None:
    """Give an account a role in a portal, in place of the one it has."""
    grant_role(portal_id, email, Role(role))


@user.command("revoke")
@click.option("--portal", "portal_id", required=True)
@click.option("--email", required=True)
@click.option("--role", required=True, type=_ROLES)
@_plainly
def user_revoke(portal_id: str, email: str, role: str) -> None:
    """Take a role in a portal from an account."""
    revoke_role(portal_id, email, Role(role))


@click.command()
@click.pass_context
def worker(context: click.Context) -> None:
    """Run the scheduler until it is told to stop."""
    run_worker(context.obj.load_app())


@jobs_group.command("list")
def jobs_list() -> None:
    """Print each job's name, interval in seconds, and purpose."""
    for job in jobs(current_app):
        click.echo(f"{job.name}\t{job.interval_seconds:g}\t{job.what}")


@jobs_group.command("run")
@click.argument("name")
def jobs_run(name: str) -> None:
    """Run one job once."""
    known = [job.name for job in jobs(current_app)]
    if name not in known:
        raise click.ClickException(f"There is no job {name!r}. There are: {', '.join(known)}.")
    run_job(current_app._get_current_object(), name)  # type: ignore[attr-defined]
