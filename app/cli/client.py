"""`flask client ...` and `flask import`: the clients of a portal, as its admins see and change them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import BinaryIO, NoReturn

import click

from app.cli.errors import PlainCommand, PlainGroup
from app.cli.output import (
    as_json,
    counted,
    moment,
    of_portal,
    print_json,
    print_records,
    require_yes,
    say_if_stopped,
    with_yes,
)
from app.clients.list_params import TableView
from app.clients.list_queries import client_page
from app.clients.rows import ClientRow
from app.clients.service import RecipientDeclined, client_with_address, remove_client, resend_invite
from app.imports.file_faults import MAX_BYTES
from app.imports.list_errors import ListError
from app.imports.service import Imported, checked_against_portal, import_clients, read_upload
from app.models import ClientStatus
from app.portals.service import find_admin, known_portal

log = logging.getLogger(__name__)
group = PlainGroup("client", help="The clients of a portal.")

_BATCH = 500
_COLUMNS = ("email", "company_name", "status", "delivery", "email_last_sent")
_of_client = click.option("--email", required=True, help="The client's address.")


@group.command("list")
@of_portal
@click.option("--status", type=click.Choice([status.value for status in ClientStatus]), help="Only these.")
@as_json
def print_all(portal_id: str, status: str | None, as_json: bool) -> None:
    """Print a portal's clients, newest first: address, company, status, delivery, and when last emailed."""
    known_portal(portal_id)
    statuses = frozenset({ClientStatus(status)} if status else ())
    rows = _rows(portal_id, TableView(statuses, size=_BATCH))
    print_records(map(_record, rows), _COLUMNS, as_json=as_json)


def _rows(portal_id: str, view: TableView | None) -> Iterator[ClientRow]:
    while view is not None:
        page = client_page(portal_id, view)
        yield from page.rows
        view = page.next


def _record(row: ClientRow) -> dict[str, object]:
    client = row.client
    return {
        "email": client.email,
        "company_name": client.company_name,
        "status": client.status,
        "delivery": row.delivery_status,
        "email_last_sent": moment(client.email_last_sent_at),
        "id": str(client.id),
        "link_expires": moment(client.link_expires_at),
        "registered": moment(client.registered_at),
        "joined": moment(client.joined_at),
        "account_email": client.account_email,
    }


@group.command("resend")
@of_portal
@_of_client
@click.option("--by", "inviter", metavar="EMAIL", help="The client admin who invites. If omitted, whoever did before.")
@click.option("--anyway", is_flag=True, help="Even if the recipient has declined.")
def resend(portal_id: str, email: str, inviter: str | None, anyway: bool) -> None:
    """Send a client that hasn't joined a new invitation. Its older links stop working."""
    client_id = client_with_address(portal_id, email).id
    actor_id = find_admin(portal_id, inviter) if inviter is not None else None
    try:
        resend_invite(portal_id, client_id, actor_id, confirmed=anyway)
    except RecipientDeclined:
        raise click.ClickException(
            "The recipient has declined, so nothing was sent. To resend, add --anyway."
        ) from None
    log.info("invitation resent", extra={"portal": portal_id, "client": client_id})
    say_if_stopped()


@group.command("remove")
@of_portal
@_of_client
@with_yes
def remove(portal_id: str, email: str, yes: bool) -> None:
    """Remove a client that hasn't joined, with its emails. The invitation's link stops working."""
    client = client_with_address(portal_id, email)
    client_id = client.id
    require_yes(yes, f"This would remove {client.company_name} ({client.email}) from portal {portal_id} for good.")
    remove_client(portal_id, client_id, None)
    log.info("client removed", extra={"portal": portal_id, "client": client_id})


@click.command("import", cls=PlainCommand)
@click.argument("file", type=click.File("rb"))
@of_portal
@click.option("--by", "inviter", required=True, metavar="EMAIL", help="The client admin who invites.")
@as_json
def import_command(file: BinaryIO, portal_id: str, inviter: str, as_json: bool) -> None:
    """Invite all clients of a file with the columns company_name and email, or none of them. FILE may be "-".

    If a row is wrong, nothing is imported, and each error is printed: line, column, what is wrong and what to do.
    """
    actor_id = find_admin(portal_id, inviter)
    try:
        data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"The file can't be read: {error.strerror}.") from error
    # Standard input may have no name.
    name = PurePath(getattr(file, "name", "-")).name
    content = read_upload(data)
    if content.errors:
        _refuse(checked_against_portal(portal_id, content).errors, as_json=as_json)
    number = len(content.rows)
    outcome = import_clients(portal_id, actor_id, name, content.rows)
    if not isinstance(outcome, Imported):
        _refuse(content.with_errors(outcome).errors, as_json=as_json)
    log.info("clients imported", extra={"portal": portal_id, "import": outcome.import_id, "clients": number})
    if as_json:
        print_json({"imported": number, "errors": []})
    else:
        click.echo(f"{number} imported")
    say_if_stopped()


def _refuse(errors: Sequence[ListError], *, as_json: bool) -> NoReturn:
    records = [
        {
            "line": error.line,
            "column": error.column or None,
            "value": error.value,
            "code": error.code,
            "problem": error.reason,
            "remedy": error.remedy,
        }
        for error in errors
    ]
    if as_json:
        print_json({"imported": 0, "errors": records})
    else:
        print_records(records, ("line", "column", "problem", "remedy"), as_json=False)
    raise click.ClickException(f"Nothing was imported: the file has {counted(len(records), 'error')}.")
