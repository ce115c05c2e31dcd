"""Limits on how often something may be done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from app.core.errors import TooManyRequests
from app.db import rate_limits
from app.db.transactions import transaction
from tests.support.together import at_once

pytestmark = pytest.mark.both_databases

TEN = rate_limits.Limit("ten", 10, timedelta(minutes=15))


def test_of_many_at_once_no_more_pass_than_the_limit_allows(app: Flask) -> None:
    def passes() -> bool:
        with app.app_context():
            try:
                with transaction():
                    rate_limits.use(TEN, "somebody")
            except TooManyRequests:
                return False
            return True

    assert sum(at_once([passes] * 14)) == 10


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", "not an address"),
        (None, ""),
    ],
)
def test_a_caller_is_counted_by_network(address: str | None, network: str) -> None:
    assert rate_limits.network_of(address) == network
