"""How a command refuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from app.problems import Problem
from app.text import TextError


def plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Show a refusal as one line, not as a stack trace."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (Problem, TextError) as refusal:
            raise click.ClickException(refusal.message) from refusal

    return run
