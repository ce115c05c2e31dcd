"""`flask user ...`: accounts, who may sign in, and what they may do."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import click

from app.accounts.disabling import disable_account, enable_account, end_sessions
from app.accounts.security.reset import check_reset, reset_second_factor
from app.accounts.users import accounts_verified_by_portal, create_user
from app.cli.errors import PlainGroup
from app.cli.output import as_json, moment, of_portal, print_records, read_password, require_yes, with_yes
from app.core.text import clean_email, clean_person_name
from app.models import Role
from app.portals.people import Account, all_accounts
from app.portals.service import grant_role, has_admin, revoke_role
from app.registration.password_reset import set_password as replace_password

log = logging.getLogger(__name__)
group = PlainGroup("user", help="Accounts and their roles.")

_of_user = click.option("--email", required=True, help="The account's address.")
_role = click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
_password = click.option("--password", help="Visible in the process list; prefer --password-stdin.")
_password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@group.command("create")
@_of_user
@click.option("--name", required=True)
@_password
@_password_stdin
def create(email: str, name: str, password: str | None, password_stdin: bool) -> None:
    """Make an account that counts as verified. One that was registered but never verified is converted."""
    secret = read_password(password, from_stdin=password_stdin)
    user = create_user(clean_email(email), clean_person_name(name), secret)
    log.info("account created", extra={"account": user.id})
    click.echo(user.email)


@group.command("list")
@as_json
def print_all(as_json: bool) -> None:
    """Print each account: address, name, state, and since when it exists; with --json its roles too.

    The state is verified, unverified (registered, but the address isn't verified for the whole service), shell (signs
    in through a host shell only) or disabled.
    """
    print_records(map(_record, all_accounts()), ("email", "name", "state", "since"), as_json=as_json)


def _record(account: Account) -> dict[str, object]:
    user = account.user
    return {
        "email": user.email,
        "name": user.name,
        "state": account.state,
        "since": moment(user.created_at),
        "disabled_since": moment(user.disabled_at),
        "shell": user.vouched_by,
        "roles": account.roles,
    }


@group.command("disable")
@_of_user
def disable(email: str) -> None:
    """Keep someone out: no sign-in, with a password or through a host shell, and no emails. Sessions end at once.

    Roles and clients stay. Links in emails that were sent before never work again.
    """
    _log("account disabled", *disable_account(email))


@group.command("enable")
@_of_user
def enable(email: str) -> None:
    """Let someone in again whose account was disabled, with the password they had."""
    _log("account enabled", enable_account(email))


@group.command("set-password")
@_of_user
@_password
@_password_stdin
def set_password(email: str, password: str | None, password_stdin: bool) -> None:
    """Replace the password of a verified account. Its sessions end, and reset links no longer work."""
    secret = read_password(password, from_stdin=password_stdin)
    log.info("password replaced", extra={"account": replace_password(email, secret)})


@group.command("sessions-end")
@_of_user
def sessions_end(email: str) -> None:
    """Sign someone out everywhere, and print how many sessions ended."""
    account_ids, ended = end_sessions(email)
    _log("sessions ended", account_ids, ended)
    click.echo(f"{ended} ended")


@group.command("reset-second-factor")
@_of_user
@with_yes
def reset(email: str, yes: bool) -> None:
    """Remove someone's second factor and recovery codes, because they have lost them. Sessions end at once.

    From then on the password alone signs in to the account. Be sure who asks for it. They get an email.
    """
    check_reset(email)
    require_yes(yes, f"This would remove the second factor of the account {email}, and sign it out everywhere.")
    account_ids, ended = reset_second_factor(email)
    _log("second factor reset", account_ids, ended)
    click.echo(f"{ended} ended")


def _log(event: str, account_ids: Sequence[int], sessions: int | None = None) -> None:
    log.info(event, extra={"accounts": list(account_ids)} | ({} if sessions is None else {"sessions": sessions}))


@group.command("verified-by-portal")
def verified_by_portal() -> None:
    """Print the accounts whose address only a portal's own mail server has verified, each with that portal.

    They are let into that portal alone, and asked to verify once more when they sign in.
    """
    for user in accounts_verified_by_portal():
        click.echo(f"{user.email}\t{user.verified_for_portal_id}")


@group.command("grant")
@of_portal
@_of_user
@_role
def grant(portal_id: str, email: str, role: str) -> None:
    """Give an account a role in a portal, in place of the one it has. The portal's client admins get an email."""
    had_admin = has_admin(portal_id)
    account_id = grant_role(portal_id, email, Role(role))
    log.info("role granted", extra={"portal": portal_id, "accounts": [account_id], "role": role})
    _warn_of_last_admin(portal_id, had_admin=had_admin)


@group.command("revoke")
@of_portal
@_of_user
@_role
def revoke(portal_id: str, email: str, role: str) -> None:
    """Take a role in a portal from an account. The portal's client admins get an email."""
    had_admin = has_admin(portal_id)
    account_ids = revoke_role(portal_id, email, Role(role))
    log.info("role revoked", extra={"portal": portal_id, "accounts": list(account_ids), "role": role})
    _warn_of_last_admin(portal_id, had_admin=had_admin)


def _warn_of_last_admin(portal_id: str, *, had_admin: bool) -> None:
    """An operator may take a portal its last client admin, but should know."""
    if had_admin and not has_admin(portal_id):
        click.echo(f"Warning: portal {portal_id} has no client admin now. Give somebody the role.", err=True)
