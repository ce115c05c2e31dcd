"""However large what is sent or asked for is, it takes bounded memory."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tracemalloc
from functools import partial

from flask import Flask

from app.clients.export import csv_chunks
from app.clients.list_params import TableView
from app.imports.file_faults import MAX_BYTES
from app.imports.workbook_process import PROGRAM
from tests.conftest import HARBOUR
from tests.integration.clients.test_export import insert_many, rows_of
from tests.integration.imports.test_import_refusals import MEBIBYTE, filled_up
from tests.integration.imports.uploading import IMPORT, a_file, clients
from tests.support.browser import Browser, ic
from tests.support.databases import on_sqlite
from tests.support.pictures import HOSTILE, a_picture, hostile_pictures
from tests.support.production import Visitor, gunicorn
from tests.support.together import at_once
from tests.unit.imports.workbooks import HEADER, RAW_HEADER, raw_xlsx, xls, xlsx

LOGO = f"/portals/{HARBOUR}/settings/branding/logo"

# The heaviest first: what it leaves behind is least then.
HEAVY = {
    "one name": a_file("x" * 3_000_000),
    "the largest that is accepted": filled_up(a_file(*clients(1000)), MAX_BYTES),
    "a thousand long names": filled_up(a_file(*(f"{'n' * 1500},{'e' * 1500}" for _ in range(1000))), MAX_BYTES),
    "separators and line ends": filled_up(a_file("," * 499_000), MAX_BYTES),
}


@on_sqlite
def test_whatever_is_imported_takes_bounded_memory(admin: Browser, environment: dict[str, str]) -> None:
    # One arena: which thread gets which request is chance, and what another one's arena keeps would count again.
    with gunicorn({**environment, "MALLOC_ARENA_MAX": "1"}, app="tests.support.measured:app") as port:
        visitor = Visitor(port, admin)

        def peak() -> int:
            return int(visitor.get("/healthz").headers["X-Peak-Memory"])

        assert visitor.upload(IMPORT, a_file("Acme,ann@acme.test")).status == 303
        assert visitor.upload(IMPORT, a_file("Acme")).status == 422
        idle = peak()
        assert visitor.upload(IMPORT, bytes(20_000_000)).status == 413
        assert peak() - idle < 10 * MEBIBYTE
        for name, data in HEAVY.items():
            assert visitor.upload(IMPORT, data).status in {303, 422}, name
            assert visitor.upload(f"{IMPORT}/annotated.csv", data).status in {200, 422}, name
            assert peak() - idle < 64 * MEBIBYTE, name


def random_text(length: int) -> str:
    """Text that cannot be compressed much."""
    return random.Random(length).randbytes(length * 3 // 4).hex()[:length]


WORKBOOKS = {
    "near 3 MiB, of 1,000 rows": lambda: xlsx([HEADER, *([random_text(4500 + n), f"c{n}@x.test"] for n in range(680))]),
    "16,000 cells": lambda: xlsx([HEADER, *([random_text(100 + n % 50) for _ in range(16)] for n in range(1000))]),
    "an .xls near 3 MiB": lambda: xls([HEADER, *([random_text(1400), f"c{n}@x.test"] for n in range(1000))]),
    "a million strings": lambda: raw_xlsx(RAW_HEADER, strings="<si><t>a</t></si>" * 1_900_000),
    "one long cell": lambda: raw_xlsx(
        f'{RAW_HEADER}<row r="2"><c r="A2" t="inlineStr"><is><t>{"a" * 33_000_000}</t></is></c></row>'
    ),
    "a million empty rows": lambda: raw_xlsx(RAW_HEADER + '<row r="9"/>' * 1_000_000),
    "a far cell": lambda: raw_xlsx(RAW_HEADER + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'),
    "a far cell in silence": lambda: raw_xlsx(RAW_HEADER + '<row r="30000"><c r="P30000"><v>1</v></c></row>'),
}

PEAK_OF_READER = """
import os, resource, sys
reader = os.posix_spawn(sys.executable, [sys.executable, "-I", "-B", sys.argv[1]], {})
_pid, _status, usage = os.wait4(reader, 0)
print(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), file=sys.stderr)
"""


@on_sqlite
def test_no_workbook_takes_more_than_64_mb_of_a_web_process_and_its_reader(
    admin: Browser, environment: dict[str, str]
) -> None:
    with gunicorn({**environment, "MALLOC_ARENA_MAX": "1"}, app="tests.support.measured:app") as port:
        visitor = Visitor(port, admin)

        def peak() -> int:
            return int(visitor.get("/healthz").headers["X-Peak-Memory"])

        assert visitor.upload(IMPORT, xlsx([HEADER, ["Acme", "ann@acme.test"]])).status == 303
        assert visitor.upload(f"{IMPORT}/annotated.csv", xlsx([HEADER, ["Acme"]])).status == 200
        idle = peak()
        for name, make in WORKBOOKS.items():
            data = make()
            assert len(data) <= MAX_BYTES, name
            assert visitor.upload(IMPORT, data).status == 422, name
            # Not the children of gunicorn: a process inherits the peak of the one that started it.
            asked = [sys.executable, "-c", PEAK_OF_READER, str(PROGRAM)]
            reader = int(subprocess.run(asked, input=data, capture_output=True, check=True).stderr.split()[-1])
            assert peak() - idle + reader < 64 * MEBIBYTE, name


def test_a_hostile_file_takes_bounded_memory() -> None:
    """In a process of its own, since the tests before this one have raised the peak already."""
    script = (
        "import resource\n"
        "from app.imports.csv_reader import read_csv\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "read_csv(b'company_name,email\\n' + b'ab,' * 499_990 + b'\\n' * 1_600_000)\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(done.stdout) < 64 * 1024


HEAVIEST = [
    "one column",
    "PNG, interlaced",
    "PNG, a thousand texts",
    "JPEG, progressive, four colours",
    "JPEG, greedy tags",
    "WebP",
    "WebP, large frames",
]
HOSTILE_COUNT = int(os.environ.get("HOSTILE_PICTURES", "0"))
"""How many to try instead, as `make soak` does."""


@on_sqlite
def test_no_logos_take_more_than_64_mb_of_a_web_process(admin: Browser, environment: dict[str, str]) -> None:
    with gunicorn(environment, app="tests.support.measured:app") as port:
        visitor = Visitor(port, admin)

        def upload_of(data: bytes) -> int:
            return visitor.upload(LOGO, data, field="logo").status

        def peak() -> int:
            return int(visitor.get("/healthz").headers["X-Peak-Memory"])

        assert {upload_of(a_picture(kind)) for kind in ("PNG", "JPEG", "WEBP")} == {303}
        idle = peak()
        pictures = hostile_pictures(HOSTILE_COUNT) if HOSTILE_COUNT else ((name, HOSTILE[name]()) for name in HEAVIEST)
        for name, data in pictures:
            assert set(at_once([partial(upload_of, data)] * 4)) <= {303, 422}, name
            assert peak() - idle < 64 * 1024 * 1024, name


def test_ten_thousand_rows_stream_in_little_memory(app: Flask, admin: Browser) -> None:
    insert_many(app, 10_000)
    rows = rows_of(admin.get(f"{ic(HARBOUR)}/export.csv?sort=email"))
    assert [row["email"] for row in rows] == [f"many-{n:05}@client.test" for n in range(10_000)]

    chunks = csv_chunks(app, HARBOUR, TableView())
    next(chunks)
    tracemalloc.start()
    size = sum(len(chunk) for chunk in chunks)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 600_000
    assert peak < 8 * 1024 * 1024
