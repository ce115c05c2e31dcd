"""`flask user ...`: accounts and what they may do."""

from __future__ import annotations

import sys

import click

from app.accounts.users import accounts_verified_by_portal, create_user
from app.cli.errors import PlainGroup
from app.core.text import clean_email, clean_person_name
from app.models import Role
from app.portals.service import grant_role, revoke_role

group = PlainGroup("user", help="Accounts and their roles.")

_ROLES = click.Choice([role.value for role in Role])


@group.command("create")
@click.option("--email", required=True)
@click.option("--name", required=True)
@click.option("--password", help="Visible in the process list; prefer --password-stdin.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def create(email: str, name: str, password: str | None, password_stdin: bool) -> None:
    """Make an account that counts as verified. One that was registered but never verified is converted."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise click.UsageError("Enter the password with --password-stdin or --password.")
    click.echo(create_user(clean_email(email), clean_person_name(name), password).email)


@group.command("verified-by-portal")
def verified_by_portal() -> None:
    """Print the accounts whose address only a portal's own mail server has verified, each with that portal.

    They are let into that portal alone, and asked to verify once more when they sign in.
    """
    for user in accounts_verified_by_portal():
        click.echo(f"{user.email}\t{user.verified_for_portal_id}")


@group.command("grant")
@click.option("--portal", "portal_id", required=True)
@click.option("--email", required=True)
@click.option("--role", required=True, type=_ROLES)
def grant(portal_id: str, email: str, role: str) -> None:
    """Give an account a role in a portal, in place of the one it has."""
    grant_role(portal_id, email, Role(role))


@group.command("revoke")
@click.option("--portal", "portal_id", required=True)
@click.option("--email", required=True)
@click.option("--role", required=True, type=_ROLES)
def revoke(portal_id: str, email: str, role: str) -> None:
    """Take a role in a portal from an account."""
    revoke_role(portal_id, email, Role(role))
