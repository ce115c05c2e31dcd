"""What webhooks tell the rest of the process."""

from blinker import Signal

webhook_queued = Signal("an event was committed for a webhook endpoint")
"""Sent after the commit, so that a scheduler in the same process need not wait for its next round."""
