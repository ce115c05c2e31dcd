"""What a process that reads a workbook may use."""

from __future__ import annotations

from typing import Final

MEMORY: Final = 36 * 1024 * 1024
"""Bytes of data. What is mapped from files (Python, the libraries), some 10 MB, comes on top.

A workbook of 1,000 rows takes 6 MB, and one near 3 MiB up to 20 MB.
"""
CPU_SECONDS: Final = 5
"""Far more than a workbook of 1,000 rows takes (0.1 s)."""
MAX_UNPACKED: Final = 32 * 1024 * 1024
"""Bytes of all files in an .xlsx or .ods together, which are ZIP archives."""
MAX_TEXT: Final = 3 * 1024 * 1024
"""Characters of all cells that are handed on."""
MAX_AREA: Final = 500_000
"""Cells of the rectangle around everything in the sheet. It is held in memory, 32 bytes a cell."""
MAX_ROWS: Final = 1002
"""Rows that are handed on: the header, the 1,000 that a list may have, and the first one too many."""
MAX_COLUMNS: Final = 16


def limit_this_process() -> None:
    """Limit memory and CPU time. Beyond, the kernel ends the process, or an allocation fails, which ends it too.

    macOS has these limits and does not enforce that of memory, Windows has none. There, `MAX_UNPACKED`, `MAX_AREA` and
    the caller's time-out remain.
    """
    try:
        import resource
    except ImportError:
        return
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_DATA: MEMORY,
        resource.RLIMIT_FSIZE: 0,
    }
    for kind, most in limits.items():
        _soft, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))
