"""Random scenarios of all that admins and invitees can do; `make soak` runs many more of them.

How many are run can be set: SCENARIOS. On PostgreSQL it is half of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.crash.installation import Installation
from tests.crash.state_machine import SETTINGS, run_scenarios

SCENARIOS = int(os.environ.get("SCENARIOS", "3"))


def test_whatever_people_do_the_portal_is_as_it_ought_to_be(
    install: Callable[..., Installation], database_url: str
) -> None:
    scenarios = SCENARIOS if database_url.startswith("sqlite") else max(1, SCENARIOS // 2)
    run_scenarios(install(**SETTINGS), scenarios, number=0)
