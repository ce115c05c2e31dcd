"""A mail server works again, as far as we know: its settings were saved, or it has taken a test mail."""

from __future__ import annotations

from sqlalchemy import select, update

from app.core.signals import mail_queued
from app.db.transactions import send_after_commit
from app.extensions import db
from app.models import MailState, OutboxMail
from app.models.types import db_now
from app.outbox import routing
from app.outbox.priorities import portal_of


def recovered(server: str) -> None:
    """End a server's pause, forget its refusals and make all mails that wait for it due, in the caller's transaction.

    `server`: the key of its route.
    """
    routing.resume(server)
    waits = OutboxMail.state == MailState.QUEUED
    for to_change in (OutboxMail.due_at > db_now(), OutboxMail.refusals > 0):  # others keep their place in the queue
        db.session.execute(
            update(OutboxMail)
            .where(waits, OutboxMail.queue.in_(_queues_of(server)), to_change)
            .values(due_at=db_now(), refused_by=None, refusals=0)
            .execution_options(synchronize_session=False)
        )
    send_after_commit(db.session(), mail_queued)


def _queues_of(server: str) -> list[str]:
    queues = db.session.scalars(select(OutboxMail.queue).where(OutboxMail.state == MailState.QUEUED).distinct()).all()
    if server != routing.DEPLOYMENT:
        return [queue for queue in queues if portal_of(queue) == server]
    routes = routing.routes_of({portal_of(queue) for queue in queues})
    return [queue for queue in queues if (route := routes.get(portal_of(queue))) and route.key == server]
