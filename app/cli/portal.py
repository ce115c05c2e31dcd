"""`flask portal ...`: tenants, their own mail servers, and who may show them in a frame."""

from __future__ import annotations

import sys
from typing import Any

import click

from app.cli.errors import PlainGroup
from app.embed.service import allow_origin, forbid_origin
from app.models import TlsMode
from app.outbox.server_settings import OwnServer, drop_own_server, save_own_server
from app.portals.service import all_portals, create_portal

group = PlainGroup("portal", help="Portals (tenants).")


@group.command("create")
@click.option("--name", required=True)
@click.option("--id", "portal_id", help="B-Portal's own id. If omitted, a new one is created.")
def create(name: str, portal_id: str | None) -> None:
    """Make a portal and print its id."""
    click.echo(create_portal(name, portal_id).id)


@group.command("list")
def print_all() -> None:
    """Print each portal's id and name."""
    for one in all_portals():
        click.echo(f"{one.id}\t{one.name}")


@group.command("mail-server")
@click.option("--id", "portal_id", required=True)
@click.option("--host")
@click.option("--port", type=click.IntRange(1, 65535), default=587, show_default=True)
@click.option("--tls", type=click.Choice([mode.value for mode in TlsMode]), default="starttls", show_default=True)
@click.option("--username")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--sender", help="From address of the portal's emails, such as 'Harbour Tours <tours@example.com>'.")
@click.option(
    "--per-second", type=click.FloatRange(min=0, min_open=True), help="The most emails per second that it accepts."
)
@click.option("--dkim-selector", help="Name of its DKIM key in the DNS, for the sender check.")
@click.option(
    "--uses-bounce-address",
    is_flag=True,
    help="The server accepts emails whose envelope sender is MAIL_BOUNCE_ADDRESS.",
)
@click.option("--remove", is_flag=True, help="Use the deployment's mail server again.")
def mail_server(portal_id: str, remove: bool, password_stdin: bool, **settings: Any) -> None:
    """Give a portal a mail server of its own, or take it away. Waiting mails go the new way."""
    if remove:
        drop_own_server(portal_id)
        return
    if not settings["host"] or not settings["sender"]:
        raise click.UsageError("Use --host and --sender, or --remove.")
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    save_own_server(portal_id, OwnServer(**settings | {"tls": TlsMode(settings["tls"])}, password=password))


@group.command("allow-origin")
@click.option("--id", "portal_id", required=True)
@click.argument("origin")
def allow(portal_id: str, origin: str) -> None:
    """Let pages of this origin show the portal in a frame."""
    click.echo(allow_origin(portal_id, origin))


@group.command("forbid-origin")
@click.option("--id", "portal_id", required=True)
@click.argument("origin")
def forbid(portal_id: str, origin: str) -> None:
    """Let pages of this origin show the portal no more."""
    forbid_origin(portal_id, origin)
