"""Every benchmark still runs. What it measures here says nothing: it is as small as can be."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# One of them on PostgreSQL: what differs between the databases is how rows are written.
BENCHMARKS = {
    "import_speed": "--database postgresql --rows 20 --runs 1 --warm-up 0 --preload 0 --forked",
    "list_speed": "--database sqlite --rows 300 --runs 1 --warm-up 0 --seconds 0.05 --views 'all, newest' --forked",
    "flush_speed": "--database sqlite --mails 5 --runs 1 --warm-up 0 --long 0 --no-peer",
    "beside_dripping": "--database sqlite --mails 5 --waiting 5 --runs 1",
    "portals_at_once": "--on sqlite --portals 2 --rows 1 --webs 2 --workers 2",
    "idle_worker": "--database sqlite --seconds 0.2 --settle 0 --forked",
    "slow_bodies": "--database sqlite --bodies 3 --seconds 0.3 --warm-up 0 --forked",
    "back_speed": "--browser chromium --runs 1 --warm-up 0",
}
IN_A_BROWSER = {"back_speed"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.browser] if name in IN_A_BROWSER else []) for name in BENCHMARKS],
)
def test_a_benchmark_runs_to_its_end_and_tells_its_figures(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = shlex.split(BENCHMARKS[name])
    if name in IN_A_BROWSER:
        # One process drives one browser, and this one may have its own already.
        command = [sys.executable, "-m", f"bench.{name}", *arguments]
        out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120).stdout
    else:
        # In this process, which has read all of the application already.
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        import_module(f"bench.{name}").main()
        out = capsys.readouterr().out
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert lines
    assert all(line["figure"] for line in lines)
