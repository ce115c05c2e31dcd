"""`flask secrets ...`: what is encrypted with SECRET_KEY, and changing that key."""

from __future__ import annotations

import click
from flask import current_app

from app.cli import queues
from app.cli.errors import PlainGroup
from app.db.encrypted_columns import count_encrypted
from app.db.encrypted_columns import reseal as reseal_all

group = PlainGroup("secrets", help="What is encrypted with SECRET_KEY: mail passwords, webhook secrets, TOTP keys.")


@group.command("status")
def status() -> None:
    """Print how many secrets each key opens; neither a key nor a secret is shown."""
    former = len(current_app.config["SECRET_KEY_FALLBACKS"])
    names = {0: "SECRET_KEY"} | {n: f"SECRET_KEY_FALLBACKS, number {n}" for n in range(1, former + 1)}
    rows = [("KIND", "KEY", "SECRETS")]
    for kind, counts in count_encrypted().items():
        rows += [(kind, name, str(counts[number])) for number, name in names.items()]
        rows.append((kind, "unreadable", str(counts[None])))
    queues.print_table(rows)


@group.command("reseal")
def reseal() -> None:
    """Encrypt with SECRET_KEY everything that a former key opens. Safe while everything else runs, and to repeat."""
    click.echo(f"{reseal_all()} resealed")
    unreadable = {kind: counts[None] for kind, counts in count_encrypted().items() if counts[None]}
    if unreadable:
        what = " and ".join(f"{number} {kind}" for kind, number in unreadable.items())
        raise click.ClickException(
            f"No key opens {what}. Add the key they were encrypted with to SECRET_KEY_FALLBACKS and run this again, or"
            " have the portals' admins enter the passwords again and rotate the secrets. Without a TOTP key one"
            " signs in with a recovery code, or after 'user reset-second-factor'."
        )
