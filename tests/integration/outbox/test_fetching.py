"""A worker fetches no more mails than it asks for, however the database goes about it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from app.db.transactions import transaction
from app.extensions import db
from app.outbox import queue
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.factories import import_file

pytestmark = pytest.mark.both_databases

_OTHER_WAYS = ("hashjoin", "mergejoin", "hashagg", "sort", "indexscan", "indexonlyscan", "bitmapscan", "material")


def test_with_any_plan_no_more_than_the_limit(app_driver: AppDriver) -> None:
    """PostgreSQL may choose to look for due mails once for each mail: then each look must not lock other ones."""
    app_driver.do(import_file, HARBOUR, *(f"p{n}@client.test" for n in range(10)))

    def fetch() -> int:
        with transaction() as session:
            if db.engine.dialect.name == "postgresql":
                for way in _OTHER_WAYS:
                    session.execute(text(f"SET LOCAL enable_{way} = off"))
            mails, found = queue.fetch(f"{HARBOUR}/normal", 2)
            assert len(mails) == found
            return found

    assert [app_driver.do(fetch), app_driver.do(fetch)] == [2, 2]
