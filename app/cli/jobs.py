"""`flask jobs ...` and `flask worker`: the scheduled jobs, once by hand or without end."""

from __future__ import annotations

import click
from flask import current_app

from app.cli.errors import PlainGroup, on_our_schema
from app.core.redaction import redact
from app.jobs.schedule import jobs, run_job
from app.jobs.scheduler import run_worker

group = PlainGroup("jobs", help="The scheduled jobs.", needs_schema=False)


@click.command()
@click.pass_context
def worker(context: click.Context) -> None:
    """Run the scheduler until it is told to stop."""
    run_worker(context.obj.load_app())


@group.command("list")
def print_all() -> None:
    """Print each job's name, interval in seconds, and purpose."""
    for job in jobs(current_app):
        click.echo(f"{job.name}\t{job.interval_seconds:g}\t{job.what}")


@group.command("run")
@click.argument("name")
@on_our_schema
def run(name: str) -> None:
    """Run one job once."""
    known = [job.name for job in jobs(current_app)]
    if name not in known:
        raise click.ClickException(f"There is no job {name!r}. There are: {', '.join(known)}.")
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        is_ours = run_job(app, name)
    except Exception as error:
        raise click.ClickException(f"The job {name} failed: {redact(str(error))}") from error
    if not is_ours:
        click.echo(f"Another process is running {name} right now, so nothing was done.", err=True)
