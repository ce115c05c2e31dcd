"""Signals inside one process, sent after a commit, so that no scheduler has to wait for its next round.

`app.db.transactions.send_after_commit` sends them.
"""

from __future__ import annotations

from blinker import Signal

mail_queued = Signal("a mail was committed to the outbox")
webhook_queued = Signal("an event was committed for a webhook endpoint")
