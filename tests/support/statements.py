"""Counts what a process asks its database, as the database hears it: also what SQLAlchemy adds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

_DONE = re.compile(r'\tB\t\d+\tCommandComplete\t "(.*)"$', re.MULTILINE)
"""A line of libpq's trace: the server has carried a statement out."""


@contextmanager
def heard(engine: Engine, folder: Path) -> Iterator[Callable[[], list[str]]]:
    """Yields a function that returns the statements so far; PostgreSQL tells only their kinds.

    The engine's connections are made anew, so that all are listened to.
    """
    told: list[str] = []
    traces: list[Path] = []

    def listen(connection: Any, _record: object) -> None:
        if engine.dialect.name == "sqlite":
            connection.set_trace_callback(told.append)
        else:
            traces.append(folder / f"statements.{len(traces)}")
            # libpq writes to the file as long as the connection lives.
            connection.pgconn.trace(os.open(traces[-1], os.O_WRONLY | os.O_CREAT))

    engine.dispose()
    event.listen(engine, "connect", listen)
    try:
        yield lambda: told + [kind for trace in traces for kind in _DONE.findall(trace.read_text(errors="replace"))]
    finally:
        event.remove(engine, "connect", listen)
        engine.dispose()
