"""Dead links of every kind, opened and pressed; `make soak` tries many more."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.crash.dead_links import KINDS_OF_DEATH, DeadLinks
from tests.crash.installation import Installation

LINKS = 100


def test_no_dead_link_is_ever_accepted(install: Callable[..., Installation]) -> None:
    tried = DeadLinks(install(), random.Random(7)).run(LINKS)
    assert tried.total() == LINKS
    assert tried.keys() == {*KINDS_OF_DEATH}
