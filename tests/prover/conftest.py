"""Installations under trial, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.prover.installation import Installation


@pytest.fixture
def database_url(fresh_database_url: str) -> str:
    """A killed process may leave anything in it."""
    return fresh_database_url


@pytest.fixture
def install(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Installation]]:
    """Makes the installation of a test; keyword arguments are those of `Installation`."""
    with ExitStack() as stack:

        def make(**kwargs: Any) -> Installation:
            return stack.enter_context(Installation(tmp_path, database_url, **kwargs))

        yield make
