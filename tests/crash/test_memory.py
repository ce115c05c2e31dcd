"""However large what is sent or asked for is, it takes bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from functools import partial

from flask import Flask

from app.clients.export import csv_chunks
from app.clients.list_params import TableView
from app.imports.file_faults import MAX_BYTES
from tests.conftest import HARBOUR
from tests.integration.clients.test_export import insert_many, rows_of
from tests.integration.imports.test_import_refusals import MEBIBYTE, filled_up
from tests.integration.imports.uploading import IMPORT, a_file, clients
from tests.support.browser import Browser, ic
from tests.support.databases import on_sqlite
from tests.support.pictures import HOSTILE, a_picture, hostile_pictures
from tests.support.production import Visitor, gunicorn
from tests.support.together import at_once

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
