"""`flask portal ...`: tenants, their own mail servers, and who may show them in a frame."""

from __future__ import annotations

import logging
import sys
from math import isnan
from typing import Any

import click

from app.cli.errors import PlainGroup
from app.cli.output import as_json, counted, moment, of_portal, print_records, require_yes, with_yes
from app.embed.service import allow_origin, forbid_origin
from app.models import TlsMode
from app.outbox.server_settings import OwnServer, drop_own_server, save_own_server
from app.portals.deletion import content_of
from app.portals.deletion import delete_portal as delete_for_good
from app.portals.people import members_of
from app.portals.service import all_portals, create_portal, rename_portal
from config import PER_SECOND

log = logging.getLogger(__name__)
group = PlainGroup("portal", help="Portals (tenants).")

# These commands had --id before all others named portals by --portal.
_of_portal_by_any_name = click.option(
    "--portal", "--id", "portal_id", required=True, metavar="ID", help="The portal's id."
)


@group.command("create")
@click.option("--name", required=True)
@click.option("--id", "portal_id", help="B-Portal's own id. If omitted, a new one is created.")
def create(name: str, portal_id: str | None) -> None:
    """Create a portal and print its id."""
    made = create_portal(name, portal_id).id
    log.info("portal created", extra={"portal": made})
    click.echo(made)


@group.command("list")
@as_json
def print_all(as_json: bool) -> None:
    """Print each portal's id and name."""
    print_records(({"id": one.id, "name": one.name} for one in all_portals()), as_json=as_json)


@group.command("rename")
@of_portal
@click.option("--name", required=True)
def rename(portal_id: str, name: str) -> None:
    """Give a portal another name. Its id stays, and so do the links and waiting emails."""
    rename_portal(portal_id, name)
    log.info("portal renamed", extra={"portal": portal_id})


@group.command("members")
@of_portal
@as_json
def members(portal_id: str, as_json: bool) -> None:
    """Print who is in a portal: role, address, name, and since when."""
    found = members_of(portal_id)
    print_records(
        (
            {"role": one.role, "email": one.user.email, "name": one.user.name, "since": moment(one.created_at)}
            for one in found
        ),
        as_json=as_json,
    )


@group.command("delete")
@of_portal
@with_yes
def delete(portal_id: str, yes: bool) -> None:
    """Delete a portal with its clients, emails, history, webhooks and settings, and accounts in no other portal.

    From the first moment on nobody can work in it, and nothing more is sent. If the command breaks off, run it again.
    """
    content = content_of(portal_id)
    require_yes(
        yes,
        f"This would delete portal {portal_id} ({content.name}) for good: {counted(content.clients, 'client')}, all"
        f" emails, history, webhooks and settings, and {counted(content.accounts, 'account')} in no other portal.",
    )
    deleted = delete_for_good(portal_id)
    log.info("portal deleted", extra={"portal": portal_id, "clients": deleted.clients, "accounts": deleted.accounts})


def _number(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    if value is not None and isnan(value):  # which click takes, since it is neither less nor more than a bound
        raise click.BadParameter("nan is no number.")
    return value


@group.command("mail-server")
@_of_portal_by_any_name
@click.option("--host")
@click.option("--port", type=click.IntRange(1, 65535), default=587, show_default=True)
@click.option("--tls", type=click.Choice([mode.value for mode in TlsMode]), default="starttls", show_default=True)
@click.option("--username")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--sender", help="From address of the portal's emails, such as 'Harbour Tours <tours@example.com>'.")
@click.option(
    "--per-second",
    type=click.FloatRange(*PER_SECOND),
    callback=_number,
    help="The most emails per second that it accepts.",
)
@click.option("--dkim-selector", help="Name of its DKIM key in the DNS, for the sender check.")
@click.option(
    "--uses-bounce-address",
    is_flag=True,
    help="The server accepts emails whose envelope sender is MAIL_BOUNCE_ADDRESS.",
)
@click.option("--remove", is_flag=True, help="Use the deployment's mail server again.")
def mail_server(portal_id: str, remove: bool, password_stdin: bool, **settings: Any) -> None:
    """Give a portal a mail server of its own, or take it away. Waiting emails go the new way."""
    if remove:
        drop_own_server(portal_id)
        log.info("mail server removed", extra={"portal": portal_id})
        return
    if not settings["host"] or not settings["sender"]:
        raise click.UsageError("Use --host and --sender, or --remove.")
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    save_own_server(portal_id, OwnServer(**settings | {"tls": TlsMode(settings["tls"])}, password=password))
    log.info("mail server saved", extra={"portal": portal_id})


@group.command("allow-origin")
@_of_portal_by_any_name
@click.argument("origin")
def allow(portal_id: str, origin: str) -> None:
    """Let pages of this origin show the portal in a frame."""
    allowed = allow_origin(portal_id, origin)
    log.info("origin allowed", extra={"portal": portal_id, "origin": allowed})
    click.echo(allowed)


@group.command("forbid-origin")
@_of_portal_by_any_name
@click.argument("origin")
def forbid(portal_id: str, origin: str) -> None:
    """Let pages of this origin show the portal no more."""
    forbid_origin(portal_id, origin)
    log.info("origin forbidden", extra={"portal": portal_id, "origin": origin})
