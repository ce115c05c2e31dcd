"""`flask client erase` and `flask user erase`: a person's personal data, wherever they are (GDPR, Art. 17)."""

from __future__ import annotations

import logging

import click

from app.cli import client, user
from app.cli.output import as_json, counted, of_portal, print_json, require_yes, with_yes
from app.clients.erasure import Erased, accounts_that_go, client_traces
from app.clients.erasure import erase_client as erase_client_now
from app.clients.user_erasure import LastAdmin, user_traces
from app.clients.user_erasure import erase_user as erase_user_now
from app.db.cleanup import purge_deleted

log = logging.getLogger(__name__)


@client.group.command("erase")
@of_portal
@click.option("--email", required=True, help="The client's address, also of one that was removed before.")
@with_yes
@as_json
def erase_client(portal_id: str, email: str, yes: bool, as_json: bool) -> None:
    """Erase all personal data of a client: pending, joined, or removed before.

    The account goes too, unless it belongs to another portal. See docs/privacy.md for what remains.
    """
    if not yes:
        require_yes(yes, _client_sentence(portal_id, email))
    erased = erase_client_now(portal_id, email)
    extra = {"portal": portal_id, "clients": erased.client_ids, "accounts": erased.account_ids}
    log.info("client erased", extra=extra)
    _finish(erased, as_json=as_json)


def _client_sentence(portal_id: str, email: str) -> str:
    person, traces = client_traces(portal_id, email)
    going = accounts_that_go(portal_id, person).user_ids
    if traces.clients:
        who = " and ".join(f"{one.company_name} ({one.email})" for one in traces.clients)
    else:
        who = f"what is left of {email}, who isn't in the table,"
    if going:
        account = ", with the account"
    else:
        account = "; the account stays, because it belongs to another portal or to the team" if person.user_ids else ""
    return f"This would erase {who} from portal {portal_id} for good{account}."


@user.group.command("erase")
@click.option("--email", required=True, help="The account's address.")
@with_yes
@click.option("--last-admin", is_flag=True, help="Even if a portal has no client admin then.")
@as_json
def erase_user(email: str, yes: bool, last_admin: bool, as_json: bool) -> None:
    """Erase an account and all personal data of its owner, in every portal.

    Histories say of what they did that a deleted user did it. See docs/privacy.md for what remains.
    """
    if not yes:
        require_yes(yes, _user_sentence(email))
    try:
        erased = erase_user_now(email, even_last_admin=last_admin)
    except LastAdmin as refusal:
        raise click.ClickException(f"{refusal.message} Or add --last-admin.") from refusal
    log.info("user erased", extra={"clients": erased.client_ids, "accounts": erased.account_ids})
    _finish(erased, as_json=as_json)


def _user_sentence(email: str) -> str:
    traces = user_traces(email)
    roles = ", ".join(f"{role} of {portal_id}" for portal_id, role in traces.roles) or "in no portal"
    clients = f", and {counted(traces.clients, 'client')}" if traces.clients else ""
    return f"This would erase the account of {' and '.join(traces.names)} ({email}) for good: {roles}{clients}."


def _finish(erased: Erased, *, as_json: bool) -> None:
    """Clean up the database's files, and print what was erased. Fails if the files can't be cleaned up now."""
    is_clean = purge_deleted()
    clients, accounts = len(erased.client_ids), len(erased.account_ids)
    if as_json:
        print_json({"clients": clients, "accounts": accounts})
    else:
        click.echo(f"{counted(clients, 'client')} and {counted(accounts, 'account')} erased")
    if not is_clean:
        raise click.ClickException(
            "The data is erased, but the database file is in use, so it may still hold copies of it. When it is less"
            " busy, run: sqlite3 FILE 'VACUUM; PRAGMA wal_checkpoint(TRUNCATE)'"
        )
