"""What `make test` says and does on a machine that lacks something, before any test runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from config import ROOT

TOOLS = ("cksum", "cat", "cp", "dirname", "env", "grep", "head", "mktemp", "rm", "sed", "sh", "tail", "uname")
LACKING = "node: error while loading shared libraries: libatomic.so.1: cannot open shared object file"


class Machine:
    """A checkout on a machine with these few tools and Chromium's headless shell.

    Its programs are stubs, its users have no sudo.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        (folder / "temporary").mkdir()
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        for tool in TOOLS:
            (self.programs / tool).symlink_to(shutil.which(tool) or tool)
        self.program("chromium-headless-shell", "echo Chromium 150")
        self.program("apt-get", f'echo "$*" >> {folder}/installed')
        self.is_used_by("1000")
        # Playwright's driver starts as soon as its library is installed.
        self.program(
            folder / ".venv/bin/python",
            f"""
            [ "$1" = -c ] && exit
            grep -qs libatomic1 {folder}/installed && echo Version 2 && exit
            echo "{folder}/driver/{LACKING}" >&2
            exit 127
            """,
        )

    def program(self, name: str | Path, script: str) -> None:
        path = self.programs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def is_used_by(self, user_id: str) -> None:
        self.program("id", f"echo {user_id}")

    def run(self, script: str, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "scripts" / script, *words],
            env={"PATH": str(self.programs), "TMPDIR": str(self.folder / "temporary")} | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_playwrights_driver_lacks_is_installed(machine: Machine) -> None:
    machine.is_used_by("0")
    done = machine.run("ensure_chromium.sh")
    assert (done.returncode, done.stdout) == (0, f"{machine.programs}/chromium-headless-shell\n")
    assert "libatomic1" in done.stderr
    *_, installed = (machine.folder / "installed").read_text().splitlines()
    assert installed.endswith(" libatomic1")


@pytest.mark.parametrize("words", [[], ["--find"]])
def test_whoever_may_not_install_it_is_asked_in_one_line(machine: Machine, words: list[str]) -> None:
    done = machine.run("ensure_chromium.sh", *words)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert f"({LACKING})" in line
    assert "apt-get install libatomic1" in line
    assert "make test BROWSER=0" in line
    assert not (machine.folder / "installed").exists()


def test_what_cannot_be_installed_is_asked_for_as_well(machine: Machine) -> None:
    machine.is_used_by("0")
    machine.program("apt-get", "echo no network; exit 100")
    done = machine.run("ensure_chromium.sh")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no network" in done.stderr
    assert "apt-get install libatomic1" in done.stderr.splitlines()[-1]


@pytest.mark.skipif("ID=debian" not in Path("/etc/os-release").read_text().splitlines(), reason="Debian's package")
@pytest.mark.parametrize("network", [True, False])
def test_a_whole_chromium_is_used_where_the_lighter_one_cannot_be_had(machine: Machine, network: bool) -> None:
    (machine.programs / "chromium-headless-shell").rename(machine.programs / "chromium")
    shell = machine.programs / "chromium-headless-shell"
    installation = f'case "$*" in *install*chromium-headless-shell*) cp {machine.programs}/chromium {shell} ;; esac'
    machine.program("apt-get", installation if network else "echo no network; exit 100")
    machine.program(machine.folder / ".venv/bin/python", '[ "$1" = -c ] || echo Version 2')
    machine.is_used_by("0")
    done = machine.run("ensure_chromium.sh")
    assert done.returncode == 0
    assert done.stdout == f"{shell if network else machine.programs / 'chromium'}\n"


def test_other_browsers_are_installed_where_that_needs_no_question(machine: Machine) -> None:
    for name in ("firefox-esr", "WebKitWebDriver", "Xvfb", "MiniBrowser"):
        machine.program(f"../packaged/{name}", "echo here")
    machine.program(
        "apt-get", f'echo "$*" >> {machine.folder}/installed; cp {machine.folder}/packaged/* {machine.programs}'
    )
    machine.is_used_by("0")
    done = machine.run("ensure_browsers.sh", MINIBROWSER_PATH=str(machine.programs / "MiniBrowser"))
    assert (done.returncode, done.stdout) == (0, f"{machine.programs}/firefox-esr\n{machine.programs}/MiniBrowser\n")
    *_, installed = (machine.folder / "installed").read_text().splitlines()
    assert installed.endswith(" firefox-esr webkit2gtk-driver xvfb")


def test_whoever_may_not_install_other_browsers_is_asked_in_one_line(machine: Machine) -> None:
    machine.program("firefox-esr", "echo Mozilla Firefox 140")
    done = machine.run("ensure_browsers.sh")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith("as root: apt-get install webkit2gtk-driver xvfb")
    assert not (machine.folder / "installed").exists()


BROKEN = (
    "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by"
    " 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new"
    " connection: [Errno -3] Temporary failure in name resolution')': /simple/aiosmtpd/"
)
NONE_SUCH = "ERROR: No matching distribution found for aiosmtpd==1.4.6"


def install_packages(machine: Machine, words: str) -> list[str]:
    """What is told when pip fails with these words."""
    (machine.folder / "requirements.txt").write_text("aiosmtpd==1.4.6\n")
    (machine.folder / "pip-says").write_text(f"{words}\n")
    machine.program(
        machine.folder / ".venv/bin/python",
        f'case "$*" in *install*) cat {machine.folder}/pip-says >&2; exit 1 ;; esac',
    )
    done = machine.run("ensure_venv.sh", "requirements.txt")
    assert (done.returncode, done.stdout) == (1, "Installing requirements.txt into .venv ...\n")
    return done.stderr.splitlines()


def test_without_a_network_one_line_says_so(machine: Machine) -> None:
    (line,) = install_packages(machine, f"{BROKEN}\n{NONE_SUCH}")
    assert line == (
        "Installing requirements.txt needs a network, and the package index cannot be reached from here: Temporary"
        " failure in name resolution."
    )


def test_whatever_else_pip_says_is_shown(machine: Machine) -> None:
    first, last = install_packages(machine, NONE_SUCH)
    assert first == NONE_SUCH
    assert "pip's own words are above" in last
