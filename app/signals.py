"""What one part of the process tells the others after a commit, so that no scheduler need wait for its next round."""

from __future__ import annotations

from blinker import Signal
from sqlalchemy import event
from sqlalchemy.orm import Session

mail_queued = Signal("a mail was committed to the outbox")
webhook_queued = Signal("an event was committed for a webhook endpoint")

_TO_SEND = "signals to send"


def send_after_commit(session: Session, signal: Signal) -> None:
    """Send the signal as soon as what the session has done is committed, and not at all if it never is."""
    session.info.setdefault(_TO_SEND, set()).add(signal)


@event.listens_for(Session, "after_commit")
def _send(session: Session) -> None:
    for signal in session.info.pop(_TO_SEND, ()):
        signal.send()


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_TO_SEND, None)
