"""`flask outbox ...`: the mails that wait, were sent or have failed."""

from __future__ import annotations

from uuid import UUID

import click

from app.cli import queues
from app.cli.errors import PlainGroup
from app.core.redaction import redact
from app.outbox import maintenance
from app.outbox.routing import paused_servers

group = PlainGroup("outbox", help="The emails.")


@group.command("status")
def status() -> None:
    """Print how many emails there are in each state and portal, and which mail servers are paused."""
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
