"""`flask check`: is everything there that this installation needs? One line for each thing."""

from __future__ import annotations

from collections.abc import Mapping

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import DBAPIError

from app.cli import check_keys, check_machine, check_mail, check_proxies, check_sending
from app.cli.errors import words_of
from app.core.checks import Check, CheckResult, Level, fail
from app.extensions import db

CHECKS: Mapping[str, Check] = {
    "settings": check_machine.settings,
    "database": check_machine.database,
    "schema": check_machine.schema,
    "clock": check_machine.clock,
    "keys": check_keys.keys,
    "sending": check_sending.sending,
    "mail server": check_mail.mail_server,
    "sender": check_mail.sender,
    "bounce address": check_mail.bounce_address,
    "bounce mailbox": check_mail.bounce_mailbox,
    "base URL": check_machine.base_url,
    "passkeys": check_machine.passkeys,
    "proxy headers": check_proxies.proxy_headers,
}
"""By the name that the line shows, in the order of the lines."""


@click.command("check")
@click.pass_context
@with_appcontext
def command(context: click.Context) -> None:
    """Check what this installation needs: one line each, ok, warn or FAIL. Ends with 1 if one fails."""
    results = {name: _show(name, check) for name, check in CHECKS.items()}
    if Level.FAIL in {result.level for result in results.values()}:
        context.exit(1)


def _show(name: str, check: Check) -> CheckResult:
    result = _result(check)
    click.echo(f"{result.level}\t{name}\t{' '.join(result.sentence.split())}")
    return result


def _result(check: Check) -> CheckResult:
    """What a check says. One that breaks off has failed, and the others still run."""
    try:
        return check()
    except DBAPIError as error:
        return fail(f"The database can't be used right now: {words_of(error)}.")
    except Exception as error:
        current_app.logger.exception("a check broke off")
        return fail(f"The check broke off ({type(error).__name__}); the log has the reason.")
    finally:
        db.session.rollback()
