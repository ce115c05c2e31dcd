"""What a service may refuse, as exceptions whose message is a sentence for the person who asked.

Services raise them; `app.web.error_pages` turns each into a page or a fragment, once for the whole application.
"""

from __future__ import annotations

from datetime import timedelta


class DomainError(Exception):
    """Base of all refusals. `status` is the HTTP status it is answered with."""

    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(DomainError):
    """There is no such thing here. Always answered with the same bytes, whatever was looked for."""

    status = 404

    def __init__(self) -> None:
        super().__init__("not found")


class Forbidden(DomainError):
    """The asker is known, and may not do this."""

    status = 403


class Conflict(DomainError):
    """Somebody else was first; nothing was changed."""

    status = 409


class TooManyRequests(DomainError):
    """A limit is reached; trying again makes sense after `retry_after`."""

    status = 429

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after
