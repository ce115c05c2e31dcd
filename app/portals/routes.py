"""The portal picker and the Accounts page's tab All."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from flask import Blueprint, g, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf

from app.accounts.current import handed_over, signed_in_user, the_user
from app.accounts.last_seen import note_seen, seen_session
from app.extensions import login
from app.models import Portal, Role
from app.portals.account_list import account_page
from app.portals.ended_access import ended_for
from app.portals.guards import portal_view
from app.portals.service import find_membership, memberships_of
from app.web.responses import wants_fragment

bp = Blueprint("portals", __name__)
accounts_bp = Blueprint("accounts", __name__, url_prefix="/portals/<portal_id>/settings/accounts")


@bp.get("/portals")
def choose() -> ResponseReturnValue:
    user = signed_in_user()
    ended: Sequence[tuple[Portal, datetime]] = ()
    if user is not None:
        ended = ended_for(user.id)
        memberships = [one for one in memberships_of(user.id) if user.is_let_into(one.portal_id)]
        if not memberships and not user.is_verified:
            return redirect(url_for("registration.verify_notice"))
    else:
        # A handed-over person sees only the portals they were handed over for.
        found = handed_over()
        if not found:
            return cast(ResponseReturnValue, login.unauthorized())
        user = next(iter(found.values()))
        here = [find_membership(portal_id, who.id) for portal_id, who in found.items()]
        memberships = [membership for membership in here if membership is not None]
    seen = seen_session(user)
    page = render_template(
        "portals/choose.html",
        user=user,
        managed=[m for m in memberships if m.role is not Role.CLIENT],
        joined=[m for m in memberships if m.role is Role.CLIENT],
        ended=ended,
    )
    note_seen(seen)
    return page


@bp.get("/portals/<portal_id>/session")
@portal_view(change=False)
def session(portal: Portal) -> ResponseReturnValue:
    """The current user of the browser's session and a CSRF token, for a page that was opened earlier.

    Only for our own scripts: no other site can send their header. A person who opens the URL is redirected to the
    portal.
    """
    if not wants_fragment():
        return redirect(url_for("accounts.index", portal_id=portal.id), 303)
    user = the_user()
    return jsonify(person=str(user.id), name=user.name, csrf_token=generate_csrf())


@accounts_bp.get("")
@portal_view(change=False)
def index(portal: Portal) -> ResponseReturnValue:
    search = request.args.get("q", "").replace("\0", "").strip()[:100]
    after = request.args.get("after", type=int)
    page = account_page(portal.id, search, after)
    template = "portals/_account_table.html" if wants_fragment() else "portals/accounts.html"
    return render_template(template, portal=portal, page=page, search=search, after=after, may_change=g.may_change)
