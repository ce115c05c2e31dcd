from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import smtp
from tests.support.smtp import MailServer


@pytest.fixture
def alpines_server() -> Iterator[MailServer]:
    controller, handler = smtp.start()
    yield handler
    controller.stop(no_assert=True)
