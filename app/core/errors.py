"""Refusals of a service: exceptions whose message is a sentence for the person who asked.

Services raise them. `app.web.error_pages` turns each into a page or a fragment, in one place for the whole application.
"""

from __future__ import annotations

from datetime import timedelta


class DomainError(Exception):
    """Base class of all refusals. `status` is the HTTP status of the answer."""

    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(DomainError):
    """The thing does not exist here. The answer is always the same bytes, whatever the request was for."""

    status = 404

    def __init__(self) -> None:
        super().__init__("not found")


class Forbidden(DomainError):
    """We know who is asking, and they may not do this."""

    status = 403


class Conflict(DomainError):
    """Somebody else made a conflicting change first. Nothing was changed."""

    status = 409


class TooManyRequests(DomainError):
    """A rate limit is reached. Trying again makes sense after `retry_after`."""

    status = 429

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after
