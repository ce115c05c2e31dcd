"""Pairs of people at the same client at once; `make soak` runs each pair much more often."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.crash.installation import Installation, wait_until
from tests.crash.races import PAIRS, Races

TIMES = 3


def test_whoever_does_something_at_the_same_moment_leaves_a_legal_state(install: Callable[..., Installation]) -> None:
    place = install()
    races = Races(place)
    place.worker()
    for pair in PAIRS:
        for _ in range(TIMES):
            races.run(pair)
    place.settle()
    assert races.illegal == []
    place.assert_kept(races.admin)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_mail_goes_out_while_somebody_holds_its_client(
    install: Callable[..., Installation], database_url: str
) -> None:
    """Whoever resends holds the client and waits for the mail; whoever held the mail and waited for the client would
    wait for ever."""
    # A long lease: with a short one, the first attempt may come too late on a busy machine, and to record that it has
    # to wait for the client.
    place = install(QUEUE_LEASE_SECONDS="60")
    place.web()
    admin = place.admin()
    admin.add("held@client.test")
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT 1 FROM imported_client FOR UPDATE")
        place.worker()
        wait_until(lambda: place.smtp.to("held@client.test"), "it goes out all the same", 30)
    place.settle()
    place.assert_kept(admin)
