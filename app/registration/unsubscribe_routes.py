"""The pages behind List-Unsubscribe. GET shows a button; only POST changes something, and it never redirects.

A mail program posts in its user's name, without a session and so without a CSRF token (RFC 8058, 3.1). The signed link
is the authority.
"""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import force_locale

from app.branding.resolved import branding_of
from app.core.links import LinkKind
from app.extensions import csrf
from app.registration.link_limits import count_post
from app.registration.unsubscribe import (
    Subscription,
    SubscriptionState,
    look_up_subscription,
    resume_reminders,
    unsubscribe,
)

bp = Blueprint("unsubscribe", __name__)
csrf.exempt(bp)


@bp.get(f"/{LinkKind.STOP_NOTICES}/<token>")
def notices(token: str) -> ResponseReturnValue:
    return _page(LinkKind.STOP_NOTICES, token, look_up_subscription(LinkKind.STOP_NOTICES, token))


@bp.post(f"/{LinkKind.STOP_NOTICES}/<token>")
def stop_notices(token: str) -> ResponseReturnValue:
    count_post(LinkKind.STOP_NOTICES, token, request.remote_addr)
    return _page(LinkKind.STOP_NOTICES, token, unsubscribe(LinkKind.STOP_NOTICES, token))


@bp.get(f"/{LinkKind.STOP_REMINDERS}/<token>")
def reminders(token: str) -> ResponseReturnValue:
    return _page(LinkKind.STOP_REMINDERS, token, look_up_subscription(LinkKind.STOP_REMINDERS, token))


@bp.post(f"/{LinkKind.STOP_REMINDERS}/<token>")
def stop_reminders(token: str) -> ResponseReturnValue:
    """Turn reminders off; on again with the field `again`, which the page sends and no mail program."""
    count_post(LinkKind.STOP_REMINDERS, token, request.remote_addr)
    is_again = "again" in request.form
    found = resume_reminders(token) if is_again else unsubscribe(LinkKind.STOP_REMINDERS, token)
    return _page(LinkKind.STOP_REMINDERS, token, found)


def _page(kind: LinkKind, token: str, found: Subscription) -> Response:
    """What is off and how to turn it on again, as the portal looks and speaks."""
    branding = branding_of(found.portal)
    with force_locale(branding.language):
        page = render_template(
            f"registration/{kind.replace('-', '_')}.html",
            token=token,
            state=found.state,
            portal_id=found.portal.id,
            branding=branding,
            has_pressed=request.method == "POST",
        )
    return make_response(page, 410 if found.state is SubscriptionState.GONE else 200)
