"""The operator's commands: `flask --app wsgi ...`. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import wraps
from itertools import groupby
from typing import Any, TextIO
from uuid import UUID

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from app.clock import now
from app.embed.services import allow_origin, forbid_origin
from app.handover.issuers import add_issuer, all_issuers, grant_portal, remove_issuer, revoke_portal
from app.identity.services import create_user
from app.jobs.schedule import jobs, run_job
from app.jobs.scheduler import report_the_rest, run_worker
from app.models import Role, TlsMode
from app.outbox import operations
from app.outbox.own_server import OwnServer, drop_own_server, save_own_server
from app.outgoing import target_of
from app.portals.services import all_portals, create_portal, grant_role, revoke_role
from app.problems import Problem
from app.redaction import redact
from app.text import TextError, clean_email, clean_person_name
from app.webhooks import operations as webhooks
from app.webhooks.messages import message_name

portal = AppGroup("portal", help="Portals (tenants).")
user = AppGroup("user", help="Accounts and their roles.")
jobs_group = AppGroup("jobs", help="The scheduled jobs.")
outbox = AppGroup("outbox", help="The mails.")
issuer = AppGroup("issuer", help="Host shells that hand people over.")
webhooks_group = AppGroup("webhooks", help="What portals' own systems are told.")

_ROLES = click.Choice([role.value for role in Role])


def init_app(app: Flask) -> None:
    for group in (portal, user, jobs_group, outbox, issuer, webhooks_group):
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


@portal.command("allow-origin")
@click.option("--id", "portal_id", required=True)
@click.argument("origin")
@_plainly
def portal_allow_origin(portal_id: str, origin: str) -> None:
    """Let pages of this origin show the portal in a frame."""
    click.echo(allow_origin(portal_id, origin))


@portal.command("forbid-origin")
@click.option("--id", "portal_id", required=True)
@click.argument("origin")
@_plainly
def portal_forbid_origin(portal_id: str, origin: str) -> None:
    """Let pages of this origin show the portal no more."""
    forbid_origin(portal_id, origin)


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
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        is_ours = run_job(app, name)
    except Exception as error:
        raise click.ClickException(f"The job {name} failed: {redact(str(error))}") from error
    finally:
        report_the_rest(app)
    if not is_ours:
        click.echo(f"Another process runs {name} just now: nothing was done.", err=True)


@outbox.command("status")
def outbox_status() -> None:
    """Print how many mails there are in each state and portal, and how old the oldest is."""
    rows = [("STATE", "PORTAL", "MAILS", "OLDEST")]
    for state, lines in groupby(operations.status(), key=lambda line: line.state):
        found = list(lines)
        rows.append((state, "(all)", str(sum(one.count for one in found)), _age(min(one.oldest for one in found))))
        rows += [("", one.portal_id or "(none)", str(one.count), _age(one.oldest)) for one in found]
    _print_table(rows)


@outbox.command("show")
@click.argument("mail_id", type=click.UUID)
@_plainly
def outbox_show(mail_id: UUID) -> None:
    """Print what is known of one mail, but for its recipient's whole address and its link."""
    mail = operations.find_mail(mail_id)
    facts = {
        "id": mail.id,
        "kind": mail.kind,
        "portal": mail.portal_id,
        "client": mail.client_id,
        "account": mail.user_id,
        "generation": mail.generation,
        "recipient": redact(mail.recipient),
        "state": mail.state,
        "attempts": mail.attempts,
        "created": mail.created_at,
        "due": mail.due_at,
        "lease": mail.lease_id,
        "lease until": mail.lease_until,
        "sent": mail.sent_at,
        "last error": mail.last_error and redact(mail.last_error),
    }
    _print_table([(name, "-" if value is None else str(value)) for name, value in facts.items()])


@outbox.command("retry")
@click.argument("mail_id", type=click.UUID, required=False)
@click.option("--failed", is_flag=True, help="All mails that have failed and are still wanted.")
@click.option("--portal", "portal_id", help="With --failed: those of one portal.")
@_plainly
def outbox_retry(mail_id: UUID | None, failed: bool, portal_id: str | None) -> None:
    """Queue a failed mail again, or all of them, and print how many."""
    if (mail_id is None) != failed or (portal_id and not failed):
        raise click.UsageError("Give either the id of one mail, or --failed with or without --portal.")
    if mail_id is None:
        queued = operations.retry_failed(portal_id)
    else:
        operations.retry_mail(mail_id)
        queued = 1
    click.echo(f"{queued} queued again")


@issuer.command("add")
@click.option("--issuer", "address", required=True, help="Its address, exactly as its tokens name it (iss).")
@click.option("--jwks-url", help="Where it publishes its public keys.")
@click.option("--pem", type=click.File(), help="A file with its only public key.")
@click.option("--replace", is_flag=True, help="Change the keys of one that is registered.")
@_plainly
def issuer_add(address: str, jwks_url: str | None, pem: TextIO | None, replace: bool) -> None:
    """Register a host shell. It speaks for no portal until it is granted one."""
    if (jwks_url is None) == (pem is None):
        raise click.UsageError("Give either --jwks-url or --pem.")
    try:
        key = pem.read() if pem else None
    except UnicodeDecodeError:
        raise click.ClickException("The file of --pem is no text; give the key in PEM.") from None
    add_issuer(address, jwks_url=jwks_url, pem=key, replace=replace)


@issuer.command("grant")
@click.option("--issuer", "address", required=True)
@click.option("--portal", "portal_id", required=True)
@_plainly
def issuer_grant(address: str, portal_id: str) -> None:
    """Let a host shell speak for a portal: say who is what in it."""
    grant_portal(address, portal_id)


@issuer.command("revoke")
@click.option("--issuer", "address", required=True)
@click.option("--portal", "portal_id", required=True)
@_plainly
def issuer_revoke(address: str, portal_id: str) -> None:
    """Take a portal from a host shell, and end the sessions it began there. Roles stay."""
    revoke_portal(address, portal_id)


@issuer.command("remove")
@click.option("--issuer", "address", required=True)
@_plainly
def issuer_remove(address: str) -> None:
    """Forget a host shell, and end all sessions it began. Accounts and roles stay."""
    remove_issuer(address)


@issuer.command("list")
def issuer_list() -> None:
    """Print each host shell's address, where its keys are, and its portals."""
    for line in all_issuers():
        click.echo(f"{line.issuer}\t{line.keys}\t{', '.join(line.portal_ids) or '-'}")


@webhooks_group.command("status")
def webhooks_status() -> None:
    """Print how many deliveries there are in each state and portal, and how old the oldest is."""
    rows = [("STATE", "PORTAL", "DELIVERIES", "OLDEST")]
    for state, lines in groupby(webhooks.status(), key=lambda line: line.state):
        found = list(lines)
        rows.append((state, "(all)", str(sum(one.count for one in found)), _age(min(one.oldest for one in found))))
        rows += [("", one.portal_id, str(one.count), _age(one.oldest)) for one in found]
    _print_table(rows)


@webhooks_group.command("show")
@click.argument("name", metavar="ID")
@_plainly
def webhooks_show(name: str) -> None:
    """Print what is known of one delivery, but for what it says of the client."""
    delivery, endpoint = webhooks.find_delivery(name)
    facts = {
        "id": message_name(delivery.message_id),
        "event": delivery.event,
        "portal": delivery.portal_id,
        "client": delivery.client_id,
        "invitation": delivery.generation,
        "endpoint": endpoint.id,
        "host": target_of(endpoint.url).host,
        "endpoint is on": "yes" if endpoint.is_on else "no",
        "endpoint is away": endpoint.pause_reason,
        "happened": delivery.at,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "last tried": delivery.last_tried_at,
        "last answer": delivery.last_answer,
        "due": delivery.due_at,
        "given up from": delivery.give_up_at,
        "lease": delivery.lease_id,
        "lease until": delivery.lease_until,
        "delivered": delivery.delivered_at,
    }
    _print_table([(name, "-" if value is None else str(value)) for name, value in facts.items()])


@webhooks_group.command("retry")
@click.argument("name", metavar="[ID]", required=False)
@click.option("--given-up", is_flag=True, help="All deliveries that were given up.")
@click.option("--portal", "portal_id", help="With --given-up: those of one portal.")
@_plainly
def webhooks_retry(name: str | None, given_up: bool, portal_id: str | None) -> None:
    """Deliver once more what was delivered or given up, under the same id, and print how many."""
    if (name is None) != given_up or (portal_id and not given_up):
        raise click.UsageError("Give either the id of one delivery, or --given-up with or without --portal.")
    if name is None:
        queued = webhooks.retry_given_up(portal_id)
    else:
        webhooks.retry_delivery(name)
        queued = 1
    click.echo(f"{queued} queued again")


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _age(since: datetime) -> str:
    """How long ago, in the largest unit of which there is a whole one."""
    seconds = max(0, int((now() - since).total_seconds()))
    for unit, length in (("d", 24 * 60 * 60), ("h", 60 * 60), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
