"""What `flask check` says of one thing: how it is, in a sentence for the operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    """It works, but someone should look at it. Also for what cannot be told from this machine."""
    FAIL = "FAIL"
    """Something does not work."""


@dataclass(frozen=True)
class CheckResult:
    """`sentence` holds no secret, and no address that somebody has entered into a portal."""

    level: Level
    sentence: str


Check = Callable[[], CheckResult]
"""Run in an application context. It changes nothing, sends no mail, and takes a few seconds at most."""


def ok(sentence: str) -> CheckResult:
    return CheckResult(Level.OK, sentence)


def warn(sentence: str) -> CheckResult:
    return CheckResult(Level.WARN, sentence)


def fail(sentence: str) -> CheckResult:
    return CheckResult(Level.FAIL, sentence)
