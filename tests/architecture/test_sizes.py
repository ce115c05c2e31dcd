"""No file that is written by hand grows past what one reads at a sitting."""

from __future__ import annotations

from config import ROOT

MOST_LINES = 400
FOLDERS = ("app", "bench", "deploy", "examples", "scripts", "tests", "webserver", "workbook_reader")
KINDS = {".py", ".html", ".txt", ".js", ".css", ".sh"}


def test_no_file_has_more_than_400_lines() -> None:
    written = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in KINDS and "vendor" not in path.parts
    ]
    assert len(written) > 300
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in written}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}
