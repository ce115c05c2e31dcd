"""Running commands as an operator does, and what they print."""

from __future__ import annotations

import json
from typing import Any

from click.testing import Result
from flask import Flask


def run(app: Flask, *words: str, stdin: bytes | None = None) -> Result:
    return app.test_cli_runner().invoke(args=list(words), input=stdin)


def rows(app: Flask, *words: str) -> list[list[str]]:
    """The lines of a command that prints some, as cells."""
    done = run(app, *words)
    assert (done.exit_code, done.stderr) == (0, "")
    return [line.split("\t") for line in done.stdout.splitlines()]


def records(app: Flask, *words: str) -> Any:
    """What a command prints as JSON."""
    done = run(app, *words, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    return json.loads(done.stdout)


def logged(app: Flask, *words: str, stdin: bytes | None = None) -> dict[str, Any]:
    """The one line of the log of a command that changes something."""
    done = run(app, *words, stdin=stdin)
    assert done.exit_code == 0, done.output
    (line,) = done.stderr.splitlines()
    told: dict[str, Any] = json.loads(line)
    # pytest adds the message.
    return {name: value for name, value in told.items() if name not in {"time", "level", "logger", "message"}}


def refusal(app: Flask, *words: str, exit_code: int = 1, stdin: bytes | None = None) -> str:
    """The one line of a command that refuses."""
    refused = run(app, *words, stdin=stdin)
    assert (refused.exit_code, refused.stdout) == (exit_code, ""), refused.output
    (line,) = refused.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")
