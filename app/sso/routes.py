"""The endpoints for host shells: handing people over, and reporting sign-outs and changed roles.

These endpoints take no CSRF token, because a signed token that can be used only once proves more.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf
from werkzeug.exceptions import RequestEntityTooLarge

from app.accounts.current import remember_handed_over, tokens_of_browser
from app.accounts.users import close_sessions
from app.branding.resolved import branding_of
from app.db import rate_limits
from app.db.transactions import transaction
from app.extensions import csrf
from app.models import Role
from app.portals.service import known_portal
from app.sso.service import HandedOverWithoutAccess, end_sessions, hand_over
from app.sso.tokens import MAX_LENGTH, Refused
from app.web.cookies import be_framed, empty_session
from app.web.locale import speak
from app.web.responses import local_path

log = logging.getLogger(__name__)

bp = Blueprint("handover", __name__, url_prefix="/handover")
csrf.exempt(bp)

_REQUEST_BYTES = 4 * MAX_LENGTH
FAILURES_FROM_ADDRESS = rate_limits.Limit("hand-over-address", 300, timedelta(minutes=15))


@bp.before_request
def _bound() -> None:
    request.max_content_length = _REQUEST_BYTES


@bp.post("")
def take_over() -> ResponseReturnValue:
    try:
        handed = hand_over(_posted("token"), tokens_of_browser())
    except HandedOverWithoutAccess as refusal:
        log.info("hand-over without access", extra={"portal": refusal.portal_id})
        branding = branding_of(known_portal(refusal.portal_id))
        speak(branding.language)
        return make_response(render_template("sso/access_ended.html", branding=branding), 403)
    except Refused as refusal:
        _note(refusal)
        return make_response(render_template("sso/refused.html"), 401)
    if not handed.was_here:
        # Nothing from before the hand-over survives, such as a session id fixed by an attacker or an old CSRF token.
        empty_session()
    dropped = remember_handed_over(handed.portal_id, handed.session_token)
    if dropped:
        close_sessions(dropped)
    be_framed(_posted("framed") == "1")
    # Now, because two fragments requested at the same time would otherwise each create a CSRF token of their own.
    generate_csrf()
    log.info("handed over", extra={"issuer": handed.issuer, "portal": handed.portal_id, "role": handed.role.value})
    return redirect(_below_our_mount(_posted("next")) or _landing_page(handed.portal_id, handed.role), 303)


@bp.post("/logout")
def log_out() -> ResponseReturnValue:
    try:
        end_sessions(_posted("logout_token"))
    except Refused as refusal:
        _note(refusal)
        return _plain("The token was refused; the log says why.\n", 400)
    return _plain("", 200)


def _posted(name: str) -> str:
    try:
        return request.form.get(name, "")
    except RequestEntityTooLarge:
        return ""


def _note(refusal: Refused) -> None:
    """Log why a token was refused, and count the failure. Raises `TooManyRequests` after too many failures.

    Only failures are checked against the limit, so nobody can keep others at the same address out by failing.
    """
    log.warning("hand-over refused", extra={"reason": refusal.reason, "issuer": refusal.issuer})
    subject = rate_limits.network_of(request.remote_addr)
    with transaction():
        rate_limits.use(FAILURES_FROM_ADDRESS, subject)


def _landing_page(portal_id: str, role: Role) -> str:
    if role is Role.CLIENT:
        return url_for("portals.choose")
    return url_for("clients.index", portal_id=portal_id)


def _below_our_mount(target: str) -> str | None:
    """The path if it is below our mount point, else None. Other paths on this host may belong to other applications."""
    path = local_path(target)
    if path is None:
        return None
    # Browsers resolve dot segments, percent-encoded or not, and would leave our mount point.
    steps = unquote(urlsplit(path).path).split("/")
    is_ours = path.startswith(f"{request.script_root}/") and not {".", ".."} & set(steps)
    return path if is_ours else None


def _plain(text: str, status: int) -> Response:
    return Response(text, status, mimetype="text/plain")
