"""An operator releases a copy at the moment at which a worker notices that it is one."""

from __future__ import annotations

import pytest

from app.db.transactions import transaction
from app.extensions import db
from app.queue import sending
from tests.support.app_driver import AppDriver
from tests.support.together import at_once


@pytest.mark.both_databases
def test_what_was_released_stays_released(app_driver: AppDriver) -> None:
    def hold() -> None:
        with transaction() as session:
            sending.hold(session.connection(), since=None)

    def release() -> None:
        with transaction() as session:
            sending.release(session.connection())

    def found() -> tuple[object, object]:
        with transaction() as session:
            return sending.held_reason(), session.scalar(db.text("SELECT held_since FROM sending"))

    for _ in range(30):
        app_driver.do(hold)
        at_once([lambda: app_driver.do(release), lambda: app_driver.do(sending.may_send)])
        assert app_driver.do(found) == (None, None)
