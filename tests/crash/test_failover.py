"""The database's machine dies while everybody is at work, and its standby takes over: `make failover`."""

from __future__ import annotations

import os
import random
from pathlib import Path
from time import monotonic

import pytest

from tests.crash.installation import Installation, wait_until
from tests.crash.load import TAKE_SECONDS, Load
from tests.support import standby
from tests.support.databases import migrate

TIMES = int(os.environ.get("FAILOVERS", "0"))
"""Not in `make test-crash`, since it needs Debian's PostgreSQL and a while."""

pytestmark = [
    pytest.mark.skipif(not TIMES, reason="make failover"),
    pytest.mark.skipif(standby.programs() is None, reason=standby.MISSING),
]


@pytest.mark.parametrize("_time", range(TIMES))
def test_when_the_primary_dies_its_standby_has_all_that_was_promised(tmp_path: Path, _time: int) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    with standby.pair() as (primary, heir):
        primary.ask("CREATE DATABASE clients")
        url = standby.url_of("clients", primary, heir)
        migrate(url)
        with Installation(tmp_path, url, take_seconds=TAKE_SECONDS, OUTBOX_CONNECTIONS="2") as place:
            with Load(place, seed) as load:
                wait_until(lambda: len(place.smtp.history) > 10, "everybody is at work")
                with place.interruption("the primary was dead"):
                    primary.kill()
                    died, known = monotonic(), len(place.smtp.history)
                    heir.promote()
                    wait_until(lambda: not heir.ask("SELECT pg_is_in_recovery()"), "the standby takes writes")
                    promoted = monotonic() - died
                # More than the connections can have had in their hands.
                wait_until(lambda: len(place.smtp.history) > known + 10, "mails go out again")
                print(f"promoted after {promoted:.1f} s, ten mails after {monotonic() - died:.1f} s")
            place.settle()
            found = place.assert_kept(load.admin)
            print(found)
            assert heir.ask("SELECT count(*) FROM imported_client", "clients") == found.accepted
