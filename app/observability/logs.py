"""Log lines. All code logs with the standard library. Each line is written as JSON or as plain text, with no secrets.

A line has a time, a level, the logger's name, and the request or job it belongs to. `app.observability.request_log` and
`app.jobs.schedule` set the last of these as context variables of structlog.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from werkzeug.local import LocalProxy

from app.core.redaction import redact
from config import LogFormat

_HANDLER = "imported-clients"


def configure(log_format: LogFormat) -> None:
    """Send all log lines of this process to stderr, in this format. May be called more than once."""
    # Looked up for each line, because a test or a server may replace the stream.
    handler = logging.StreamHandler(LocalProxy(lambda: sys.stderr))  # type: ignore[call-overload]
    handler.name = _HANDLER
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.processors.format_exc_info,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # After every processor that adds text, and before the one that renders the line.
                redact_all,
                _renderer(log_format),
            ]
        )
    )
    # On the root logger, because a library may quote what was sent to it. The root's level lets warnings of libraries
    # through; ours logs from INFO on.
    root = logging.getLogger()
    for older in [one for one in root.handlers if one.name == _HANDLER]:
        root.removeHandler(older)
    root.addHandler(handler)
    for ours in ("app", "webserver"):
        logging.getLogger(ours).setLevel(logging.INFO)


def redact_all(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Redact links and addresses in every text of a line, however deeply nested."""
    return {redact(key): _redacted(value) for key, value in line.items()}


def _redacted(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {redact(str(key)): _redacted(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(item) for item in value]
        case _:
            return redact(str(value))


def _renderer(log_format: LogFormat) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        timestamp_key="time",
        # By now tracebacks are text, because they had to be redacted.
        exception_formatter=structlog.dev.plain_traceback,
    )
