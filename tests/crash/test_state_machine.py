"""Walks through everything that admins and invitees can do; `make soak` goes many more of them.

How many are gone can be set: WALKS. On PostgreSQL it is half of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.crash.installation import Installation
from tests.crash.state_machine import SETTINGS, run_walks

WALKS = int(os.environ.get("WALKS", "3"))


def test_whatever_people_do_the_portal_is_as_it_ought_to_be(
    install: Callable[..., Installation], database_url: str
) -> None:
    walks = WALKS if database_url.startswith("sqlite") else max(1, WALKS // 2)
    run_walks(install(**SETTINGS), walks, number=0)
