"""deploy/: units, compose file and images agree with each other, with the settings, and with the tools that read them.

`make try-deploy` tries them in whole systems.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from app.core.links import LinkKind
from config import ROOT, load_settings

DEPLOY = ROOT / "deploy"
PLACE = "/opt/imported-clients"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILES = [DEPLOY / "Dockerfile", DEPLOY / "pgbouncer/Dockerfile"]


def names_in(file: Path) -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z_]+)=", file.read_text(), re.MULTILINE))


def instructions(file: Path) -> Iterator[tuple[str, str]]:
    """Of a Dockerfile, each instruction and its words."""
    text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        name, _, words = line.strip().partition(" ")
        yield name, words


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (Debian: systemd)")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for name in ("gunicorn", "flask"):
        program = tmp_path / ".venv/bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PLACE, str(tmp_path)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / unit.name for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    # It has words for other units of the machine, too.
    assert [line for line in done.stderr.splitlines() if "imported-clients" in line] == []
    assert done.returncode == 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_hardened_and_looks_before_it_starts(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert {"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes"} <= set(lines)
    assert "User=imported-clients" in lines
    # What a library of some Debian asks for may not end the process.
    assert "SystemCallErrorNumber=EPERM" in lines
    # A mail server that is away must not stop the start, a wrong setting must (3, of wsgi.py and gunicorn.conf.py).
    assert f"ExecStartPre=-{PLACE}/.venv/bin/flask --app wsgi check" in lines
    assert "RestartPreventExitStatus=3" in lines


def test_the_example_of_the_settings_is_accepted_and_names_no_others() -> None:
    lines = (DEPLOY / "env.example").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = load_settings(values | {"SECRET_KEY": "1cd7d5cb6e9b4d1fa3c6b0f0a2c8e7d4"})
    assert settings.is_https
    assert settings.mail is not None
    assert settings.trusted_proxies == 1
    assert names_in(DEPLOY / "env.example") - names_in(ROOT / ".env.example") == {"POSTGRES_PASSWORD"}


def test_the_compose_file_names_only_what_there_is() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert source == "./tls" or (DEPLOY / source).exists(), mount
            else:
                assert source in COMPOSE["volumes"]
    variables = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert variables <= names_in(DEPLOY / "env.example")


def test_two_webs_and_two_workers_run_behind_the_pooler_without_privileges() -> None:
    services = COMPOSE["services"]
    for name in ("web", "worker"):
        assert services[name]["deploy"]["replicas"] == 2
        assert "@pgbouncer:6432/" in services[name]["environment"]["DATABASE_URL"]
    assert "@postgres:5432/" in services["migrate"]["environment"]["DATABASE_URL"]
    for name in ("web", "worker", "migrate", "pgbouncer"):
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
    assert services["mail-catcher"]["profiles"] == ["mail-catcher"]
    pooler = (DEPLOY / "pgbouncer/pgbouncer.ini").read_text()
    assert "\npool_mode = transaction\n" in pooler
    assert "\nlisten_port = 6432\n" in pooler


def test_nginx_of_the_compose_file_can_start() -> None:
    """It reads conf.d by name, what the site uses comes first; its root is read-only."""
    nginx = COMPOSE["services"]["nginx"]
    places = dict(mount.split(":")[:2] for mount in nginx["volumes"])
    assert places["./nginx/http.conf"] < places["./nginx/compose.conf"]
    assert nginx["read_only"]
    site = "".join((DEPLOY / "nginx" / name).read_text() for name in ("compose.conf", "location.conf"))
    logs = re.findall(r"^ *(?:access|error)_log (\S+)", site, re.MULTILINE)
    assert set(logs) == {"/dev/stdout", "/dev/stderr"}
    # Each server has its own, since those of the image hold whole paths, and with them the keys of links.
    assert len(logs) == 2 * site.count("server {")


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_an_image_has_a_user_and_a_health_check(file: Path) -> None:
    last = dict(instructions(file))
    assert last["USER"].isdigit()
    assert last["USER"] != "0"
    assert "HEALTHCHECK" in last


def test_the_image_gets_the_application_and_nothing_else() -> None:
    """`make try-deploy` starts it."""
    copied = {
        source
        for name, words in instructions(DEPLOY / "Dockerfile")
        if name == "COPY" and not words.startswith("--from")
        for source in words.split()[:-1]
    }
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench", "examples"}
    modules = {path.name for path in ROOT.glob("*.py")}
    assert copied == packages | modules | {"migrations", "pyproject.toml", "requirements.txt"}
    # The context holds no more than that.
    context = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in context if line.startswith("!")} == copied


def test_proxies_are_told_the_paths_of_all_mailed_links() -> None:
    """They keep them out of their logs. tests/integration/web/test_nginx.py tries it, where nginx is."""
    text = (DEPLOY / "nginx/http.conf").read_text()
    (pattern,) = re.findall(r'"~(\^\(\?<imported_clients_kept>.*)" ', text)
    kept = re.compile(pattern.replace("(?<", "(?P<"))
    words = (ROOT / "docs/operations.md").read_text()
    for kind in LinkKind:
        found = kept.match(f"/clients/{kind}/a-key")
        assert found, kind
        assert found["imported_clients_kept"] == f"/clients/{kind}/"
        assert f"`/{kind}/`" in words or kind.startswith("unsubscribe-"), kind
