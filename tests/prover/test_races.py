"""Pairs of people at the same client at once; `make soak` runs each pair much more often."""

from __future__ import annotations

from collections.abc import Callable

from tests.prover.installation import Installation
from tests.prover.races import PAIRS, Races

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
