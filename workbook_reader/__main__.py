"""The process: limits first, then the file, then the answer."""

from __future__ import annotations

import json
import os
import sys

# With -I, Python finds only its own packages and those that are installed.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from workbook_reader.answers import OUT_OF_MEMORY
from workbook_reader.limits import limit_this_process
from workbook_reader.reading import read


def main() -> None:
    limit_this_process()
    data = sys.stdin.buffer.read()
    # When a library panics it prints parts of the file, which must not reach a log.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    try:
        sys.stdout.buffer.write(json.dumps(read(data), ensure_ascii=False).encode("utf-8", "backslashreplace"))
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
