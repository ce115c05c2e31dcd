"""`flask outbox ...`: the mails that wait, were sent or have failed, and whether anything is sent at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import click

from app.cli import queues
from app.cli.errors import PlainGroup
from app.core.redaction import redact
from app.db.transactions import transaction
from app.outbox import maintenance
from app.outbox.routing import paused_servers
from app.outbox.waiting import drop_mails, mails_due_before, waiting_mails
from app.queue import sending
from app.queue.waiting import Waiting
from app.webhooks.waiting import drop_webhooks, waiting_webhooks, webhooks_due_before

group = PlainGroup("outbox", help="The emails.")


@group.command("status")
def status() -> None:
    """Print how many emails there are in each state and portal, which mail servers are paused, and if none is sent."""
    if stopped := sending.stopped():
        click.secho(stopped.sentence, bold=True)
        click.echo()
    queues.print_status(maintenance.status(), "MAILS")
    if pauses := paused_servers():
        click.echo()
        rows = [("PAUSED SERVER", "SINCE", "NEXT ATTEMPT", "REASON")]
        for key, pause in pauses.items():
            since, until = (f"{at:%Y-%m-%d %H:%M:%S} UTC" for at in (pause.since, pause.until))
            rows.append((key or "(deployment)", since, until, redact(pause.reason)))
        queues.print_table(rows)


@group.command("show")
@click.argument("mail_id", type=click.UUID)
def show(mail_id: UUID) -> None:
    """Print what is known about one email, without its link and its recipient's full address."""
    mail = maintenance.find_mail(mail_id)
    queues.print_facts(
        {
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
    )


@group.command("retry")
@click.argument("mail_id", type=click.UUID, required=False)
@click.option("--failed", is_flag=True, help="All emails that have failed and are still wanted.")
@click.option("--portal", "portal_id", help="With --failed: those of one portal.")
def retry(mail_id: UUID | None, failed: bool, portal_id: str | None) -> None:
    """Make a waiting email due, queue a failed one again, or all that failed, and print how many."""
    queues.retry(
        mail_id,
        failed,
        portal_id,
        usage="Use either the id of one email, or --failed with or without --portal.",
        retry_one=maintenance.retry_mail,
        retry_every=maintenance.retry_failed,
    )


@group.command("release")
@click.option("--drop-before", metavar="TIME", help="Drop what was due before this moment, such as 2027-05-03T14:00Z.")
@click.option("--yes", is_flag=True, help="Do it. Without this, only print what would be sent.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def release(drop_before: str | None, yes: bool, as_json: bool) -> None:
    """Let a restored or copied database send. Prints first what would be sent: mails, and webhooks by their events."""
    before = _moment(drop_before) if drop_before else None
    held = sending.held_reason()
    waiting = [*waiting_mails(), *waiting_webhooks()] if held else []
    if as_json:
        click.echo(json.dumps({"held": held is not None, "waiting": [_record(one) for one in waiting]}))
    elif waiting:
        rows = [(one.kind, str(one.count), queues.age(one.oldest), *_times(one)[1:]) for one in waiting]
        queues.print_table([("KIND", "COUNT", "OLDEST", "FIRST DUE", "LAST DUE"), *rows])
    if held is None:
        click.echo("Nothing is held: this database sends already.", err=True)
        return
    if not yes:
        would_drop = len(webhooks_due_before(before)) + len(mails_due_before(before)) if before else 0
        but_for = f", but for {would_drop} of them that would be dropped" if would_drop else ""
        raise click.ClickException(f"Nothing was changed. To let this database send all this{but_for}, add --yes.")
    # The webhooks first: those that tell of dropped mails are news.
    dropped = drop_webhooks(before) + drop_mails(before) if before else 0
    with transaction() as session:
        sending.release(session.connection())
    click.echo(f"Released; {dropped} dropped.", err=True)
    if sending.is_turned_off():
        click.echo("Still, nothing is sent: SENDING is off.", err=True)


def _moment(words: str) -> datetime:
    """A time with its zone. Raises `UsageError` for any other words."""
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.UsageError(f"--drop-before takes a time with its zone, such as 2027-05-03T14:00Z, not {words!r}.")
    return moment.astimezone(UTC)


def _record(waiting: Waiting) -> dict[str, object]:
    oldest, first, last = _times(waiting)
    return {"kind": waiting.kind, "count": waiting.count, "oldest": oldest, "first_due": first, "last_due": last}


def _times(waiting: Waiting) -> Sequence[str]:
    return [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (waiting.oldest, waiting.first_due, waiting.last_due)]
