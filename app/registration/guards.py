"""What the pages behind mailed links share: their blueprint, limits on posts, and what a registering browser keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask import Blueprint, Response, request, session

from app.core.errors import NotFound, TooManyRequests
from app.core.links import LinkKind
from app.registration.link_limits import count_post
from app.registration.service import DeadLink, Registration
from app.web.cookies import REGISTRATIONS
from app.web.responses import with_retry_after

bp = Blueprint("registration", __name__)

PAGES: Final[dict[LinkKind, Callable[[str, str, int], Response]]] = {}
"""Renders the page of a link for a post above the limits. Arguments: token, message, status."""
_MOST_REGISTRATIONS = 10


@bp.before_request
def _limit_posts() -> Response | None:
    """Refuse posts above the limits, with the page they came from, so that the typed text is not lost."""
    # Asking for a reset involves no link, and has its own limit.
    if request.method != "POST" or request.endpoint == "registration.password_reset_request":
        return None
    kind, token = LinkKind(request.path.split("/")[1]), (request.view_args or {}).get("token")
    try:
        count_post(kind, token, request.remote_addr)
    except TooManyRequests as refusal:
        if token is None:
            raise
        try:
            page = PAGES[kind](token, refusal.message, refusal.status)
        except (NotFound, DeadLink):
            # The link has no page with a form to keep.
            raise refusal from None
        return with_retry_after(page, refusal)
    return None


def remember_registration(registration: Registration, portal_id: str) -> None:
    """Let this browser verify the registration with one press. Until then its pages look like those of the portal."""
    session["registered_email"] = registration.email
    session["registered_portal"] = portal_id
    kept = session.get(REGISTRATIONS, [])[-_MOST_REGISTRATIONS + 1 :]
    session[REGISTRATIONS] = [*kept, str(registration.key)]
