"""Installations under test, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.crash.installation import Installation
from tests.support.databases import KINDS


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One of the test's own: a killed process may leave anything in it."""
    databases = request.getfixturevalue(f"{request.param}_databases")
    return str(databases.fresh(tmp_path))


@pytest.fixture
def install(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Installation]]:
    """Makes the installation of a test; keyword arguments are those of `Installation`."""
    with ExitStack() as stack:

        def make(**kwargs: Any) -> Installation:
            return stack.enter_context(Installation(tmp_path, database_url, **kwargs))

        yield make
