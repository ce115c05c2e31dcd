"""Dead links of every kind, opened and pressed; `make soak` tries many more."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.prover.dead_links import KINDS_OF_DEATH, DeadLinks
from tests.prover.installation import Installation

LINKS = 100


def test_no_dead_link_is_ever_accepted(install: Callable[..., Installation]) -> None:
    tried = DeadLinks(install(), random.Random(7)).run(LINKS)
    assert tried.total() == LINKS
    assert tried.keys() == {*KINDS_OF_DEATH}
