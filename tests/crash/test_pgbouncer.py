"""Web and workers behind PgBouncer in transaction pooling, where each transaction may have another session."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.crash_points import OF_THE_WEB, OF_THE_WORKER
from tests.crash.installation import Installation
from tests.crash.load import TAKE_SECONDS, Load
from tests.crash.test_fleet import send_one_mail_to_each
from tests.support import pgbouncer

MAILS = int(os.environ.get("PGBOUNCER_MAILS", "150"))
"""`make soak` sends 1,500."""
KILLS = int(os.environ.get("PGBOUNCER_KILLS", "5"))
"""`make soak` kills 20."""

pytestmark = pytest.mark.skipif(pgbouncer.program() is None, reason=pgbouncer.MISSING)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_each_mail_goes_out_once_and_no_log_tells_of_an_error(
    install: Callable[..., Installation], database_url: str, tmp_path: Path
) -> None:
    with pgbouncer.PgBouncer(database_url, tmp_path) as pooler:
        place = install(through=pooler.url)
        send_one_mail_to_each(place, MAILS)
        assert_no_error_is_logged(place, pooler)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("points", [(), (*OF_THE_WORKER, *OF_THE_WEB)], ids=["at any time", "at a point"])
def test_processes_that_are_killed_lose_nothing(
    install: Callable[..., Installation], database_url: str, tmp_path: Path, points: tuple[str, ...]
) -> None:
    """Whose transaction was open at a kill, that of its session is ended by PgBouncer."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with pgbouncer.PgBouncer(database_url, tmp_path) as pooler:
        place = install(through=pooler.url, take_seconds=TAKE_SECONDS, OUTBOX_CONNECTIONS="2")
        with Load(place, seed) as load:
            for _ in range(KILLS):
                if points:
                    load.kill_at(chance.choice(points))
                else:
                    load.kill_somebody()
        place.settle()
        place.assert_kept(load.admin)


def assert_no_error_is_logged(place: Installation, pooler: pgbouncer.PgBouncer) -> None:
    logs = "\n".join(place.logs)
    assert '"level": "error"' not in logs
    assert "Traceback" not in logs
    assert "cannot be written" not in logs
    assert " ERROR " not in pooler.log.read_text()
