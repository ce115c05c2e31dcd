"""`flask mail ...`: trying the deployment's mail server."""

from __future__ import annotations

import logging

import click
from flask import current_app

from app.cli.errors import PlainGroup
from app.core.redaction import redact
from app.core.text import clean_email
from app.outbox.connection_test import deployment_test_mail, run_connection_test
from app.outbox.routing import deployment_route
from app.outbox.smtp_client import Step

log = logging.getLogger(__name__)
group = PlainGroup("mail", help="The deployment's mail server.")

_STEPS = {
    Step.RESOLVE: "Server name found",
    Step.CONNECT: "Connected",
    Step.ENCRYPT: "Encrypted with a trusted certificate",
    Step.SIGN_IN: "User name and password accepted",
    Step.HAND_OVER: "Email accepted",
}


@group.command("test")
@click.argument("address")
def test(address: str) -> None:
    """Send a test email through MAIL_SERVER now, and print each step. ADDRESS is who gets it.

    If the server accepts it, waiting emails are due at once. A portal tries its own server under Settings, Email.
    """
    recipient = clean_email(address)
    route = deployment_route(current_app.config["SETTINGS"])
    if route is None:
        raise click.ClickException("MAIL_SERVER is not set, so there's no mail server to test.")
    tested = run_connection_test(route, deployment_test_mail(route, recipient))
    for step in tested.done:
        click.echo(_STEPS[step])
    if tested.failed is not None:
        raise click.ClickException(f"Not reached: {_STEPS[tested.failed]}. {redact(tested.words)}")
    log.info("test email accepted")
    click.echo(f"The server said: {tested.words}")
