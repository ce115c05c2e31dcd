"""Says what lasts once at first and then at growing intervals, so that a day of it does not fill the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from flask import current_app

from app.core.clock import now

log = logging.getLogger(__name__)

_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=2)
_lock = Lock()


@dataclass
class _Trouble:
    since: datetime
    seen: datetime
    pause: timedelta
    next_line: datetime


def warn(what: str, sentence: str) -> None:
    """Log that `what` is in trouble: at once, and while it goes on after 1, 2, 4 minutes and so on, up to 2 hours."""
    at = now()
    with _lock:
        troubles = _troubles()
        trouble = troubles.get(what)
        # Not seen for so long: it had ended, and nobody said so. Or the clock was set back.
        if trouble is None or not trouble.seen <= at <= trouble.seen + _LONGEST_PAUSE:
            trouble = troubles[what] = _Trouble(at, at, _FIRST_PAUSE, at)
        trouble.seen = at
        if at < trouble.next_line:
            return
        trouble.next_line = at + trouble.pause
        trouble.pause = min(2 * trouble.pause, _LONGEST_PAUSE)
    log.warning(sentence, extra={"since": f"{trouble.since:%Y-%m-%dT%H:%M:%SZ}"})


def over(what: str, sentence: str) -> None:
    """Log that the trouble is over. Does nothing if there was none."""
    if what in _troubles():  # nearly never, so nobody waits for the lock
        with _lock:
            had = _troubles().pop(what, None)
        if had is not None:
            log.info(sentence)


def _troubles() -> dict[str, _Trouble]:
    troubles: dict[str, _Trouble] = current_app.extensions.setdefault("troubles", {})
    return troubles
