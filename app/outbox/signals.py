"""What the outbox tells the rest of the process."""

from blinker import Signal

mail_queued = Signal("a mail was committed to the outbox")
"""Sent after the commit, so that a scheduler in the same process need not wait for its next round."""
