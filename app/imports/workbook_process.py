"""Reads workbooks in a process of its own, started anew for each.

A file of some kilobytes can make a library allocate gigabytes, or end its process. So the program `workbook_reader/`
limits itself, knows no secret, gets no environment and writes no file. Whatever ends it is the end of that file alone.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import Final

from flask_babel import gettext as _

from app.core.errors import Conflict
from workbook_reader.answers import OUT_OF_MEMORY, TOO_LARGE, Answer, Refusal

PROGRAM: Final = Path(__file__).parents[2] / "workbook_reader" / "__main__.py"
_TIME_OUT: Final = 20.0
"""Seconds. A workbook of 1,000 rows takes 0.3. The process may use 5 of CPU time (`workbook_reader/limits.py`)."""

# A web process has one workbook read at a time, because many at once would need many times the memory.
READING: Final = Lock()
_PATIENCE: Final = 10.0  # seconds
_LIMIT: Final = Refusal(refused=TOO_LARGE, why="limit", cell="")

_logger = logging.getLogger(__name__)


def ask_reader(data: bytes, *, patience: float = _PATIENCE, time_out: float = _TIME_OUT) -> Answer | Refusal:
    """What a workbook holds in its first sheet, or why it cannot be read.

    `patience` is how many seconds to wait for other workbooks, and `time_out` how many the process may take. Raises
    `Conflict` if others take too long, or if no process can be started.
    """
    if not READING.acquire(timeout=patience):
        raise Conflict(
            _("Nothing was imported: other workbooks are being read right now. Please try again in a minute.")
        )
    try:
        # Our own program; the file is its input. Killed with us or not, it ends at its limit of CPU time.
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-B", str(PROGRAM)],
            input=data,
            stdout=subprocess.PIPE,
            timeout=time_out,
            env={},
            check=False,
        )
    except subprocess.TimeoutExpired:
        _logger.warning("a workbook's reader took too long")
        return _LIMIT
    except OSError:
        _logger.exception("a workbook's reader could not be started")
        raise _unavailable() from None
    finally:
        READING.release()
    if done.returncode < 0 or done.returncode == OUT_OF_MEMORY:
        _logger.warning("a workbook's reader reached a limit", extra={"return_code": done.returncode})
        return _LIMIT
    if done.returncode:
        _logger.error("a workbook's reader failed", extra={"return_code": done.returncode})
        raise _unavailable()
    answer: Answer | Refusal = json.loads(done.stdout)
    return answer


def _unavailable() -> Conflict:
    return Conflict(
        _("Nothing was imported: workbooks can't be read right now. Save the list as CSV and choose that file.")
    )
