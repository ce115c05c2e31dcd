"""`flask webhooks ...`: the deliveries of events to portals' own systems."""

from __future__ import annotations

import click

from app.cli import queues
from app.cli.errors import PlainGroup
from app.net.http import target_of
from app.webhooks import maintenance
from app.webhooks.messages import message_name

group = PlainGroup("webhooks", help="Events sent to portals' own systems.")


@group.command("status")
def status() -> None:
    """Print how many deliveries there are in each state and portal, and how old the oldest is."""
    queues.print_status(maintenance.status(), "DELIVERIES")


@group.command("show")
@click.argument("name", metavar="ID")
def show(name: str) -> None:
    """Print what is known about one delivery, without its data about the client."""
    delivery, endpoint = maintenance.find_delivery(name)
    queues.print_facts(
        {
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
    )


@group.command("retry")
@click.argument("name", metavar="[ID]", required=False)
@click.option("--given-up", is_flag=True, help="All deliveries that have failed.")
@click.option("--portal", "portal_id", help="With --given-up: those of one portal.")
def retry(name: str | None, given_up: bool, portal_id: str | None) -> None:
    """Deliver again what was delivered or has failed, under the same id, and print how many."""
    queues.retry(
        name,
        given_up,
        portal_id,
        usage="Use either the id of one delivery, or --given-up with or without --portal.",
        retry_one=maintenance.retry_delivery,
        retry_every=maintenance.retry_given_up,
    )
