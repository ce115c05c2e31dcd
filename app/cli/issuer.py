"""`flask issuer ...`: host shells, their keys, and the portals they speak for."""

from __future__ import annotations

from typing import TextIO

import click

from app.cli.errors import PlainGroup
from app.sso.issuers import add_issuer, all_issuers, grant_portal, remove_issuer, revoke_portal

group = PlainGroup("issuer", help="Host shells that sign people in.")


@group.command("add")
@click.option("--issuer", "address", required=True, help="Its address, exactly as its tokens name it (iss).")
@click.option("--jwks-url", help="Where it publishes its public keys.")
@click.option("--pem", type=click.File(), help="A file with its only public key.")
@click.option("--replace", is_flag=True, help="Change the keys of a registered issuer.")
def add(address: str, jwks_url: str | None, pem: TextIO | None, replace: bool) -> None:
    """Register a host shell. It speaks for no portal until it is granted one."""
    if (jwks_url is None) == (pem is None):
        raise click.UsageError("Use either --jwks-url or --pem.")
    try:
        key = pem.read() if pem else None
    except UnicodeDecodeError:
        raise click.ClickException("The --pem file isn't text. Use a key in PEM format.") from None
    add_issuer(address, jwks_url=jwks_url, pem=key, replace=replace)


@group.command("grant")
@click.option("--issuer", "address", required=True)
@click.option("--portal", "portal_id", required=True)
def grant(address: str, portal_id: str) -> None:
    """Let a host shell speak for a portal: say who is what in it."""
    grant_portal(address, portal_id)


@group.command("revoke")
@click.option("--issuer", "address", required=True)
@click.option("--portal", "portal_id", required=True)
def revoke(address: str, portal_id: str) -> None:
    """Take a portal from a host shell, and end the sessions it began there. Roles stay."""
    revoke_portal(address, portal_id)


@group.command("remove")
@click.option("--issuer", "address", required=True)
def remove(address: str) -> None:
    """Forget a host shell, and end all sessions it began. Accounts and roles stay."""
    remove_issuer(address)


@group.command("list")
def print_all() -> None:
    """Print each host shell's address, where its keys are, and its portals."""
    for line in all_issuers():
        click.echo(f"{line.issuer}\t{line.keys}\t{', '.join(line.portal_ids) or '-'}")
