"""The program's processes, forked, that come by the named points at which they can be told to die or to freeze."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.crash import crash_points
from tests.support.child_process import Forked


class CrashProcess(Forked):
    """A process of the program, under these orders."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        orders: crash_points.Orders,
        listener: socket.socket | None = None,
    ) -> None:
        self.log = log
        log.touch()
        super().__init__(command, environment, log, listener=listener, prepare=partial(crash_points.wrap, orders))

    @property
    def said(self) -> str:
        return self.log.read_text()

    def freeze(self) -> None:
        """SIGSTOP for it and its children. Its threads run on until the signal has come to them: see `is_frozen`."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)

    @property
    def is_frozen(self) -> bool:
        """Whether every one of its threads stands still."""
        try:
            threads = [(thread / "stat").read_text() for thread in Path(f"/proc/{self.pid}/task").iterdir()]
        except OSError:  # one has ended meanwhile
            return False
        return all(thread.rpartition(")")[2].split()[0] == "T" for thread in threads)
