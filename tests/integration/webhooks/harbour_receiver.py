"""The receiver of Harbour Tours is told all events."""

from __future__ import annotations

import pytest

from tests.support.webhooks import Receiver, Webhooks


class WithReceiver:
    """In such a class of tests, the receiver is that of Harbour Tours, which wants all events."""

    @pytest.fixture
    def receiver(self, receiver: Receiver, webhooks: Webhooks) -> Receiver:
        webhooks.add(receiver)
        return receiver
