"""The portal picker and the Accounts page's tab All."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.extensions import login
from app.identity.current import handed_over, signed_in_user
from app.models import Portal, Role
from app.portals.guards import portal_view
from app.portals.queries import account_page
from app.portals.services import find_membership, memberships_of

bp = Blueprint("portals", __name__)
accounts_bp = Blueprint("accounts", __name__, url_prefix="/portals/<portal_id>/settings/accounts")


@bp.get("/portals")
def choose() -> ResponseReturnValue:
    user = signed_in_user()
    if user is not None:
        if not user.is_let_in:
            return redirect(url_for("registration.verify_notice"))
        memberships = list(memberships_of(user.id))
    else:
        # Nothing is listed but what they were handed over for.
        found = handed_over()
        if not found:
            return cast(ResponseReturnValue, login.unauthorized())
        user = next(iter(found.values()))
        here = [find_membership(portal_id, who.id) for portal_id, who in found.items()]
        memberships = [membership for membership in here if membership is not None]
    return render_template(
        "portals/choose.html",
        user=user,
        managed=[m for m in memberships if m.role is not Role.CLIENT],
        joined=[m for m in memberships if m.role is Role.CLIENT],
    )


@accounts_bp.get("")
@portal_view(change=False)
def index(portal: Portal) -> ResponseReturnValue:
    search = request.args.get("q", "").replace("\0", "").strip()[:100]
    page = account_page(portal.id, search, request.args.get("after", type=int))
    return render_template("accounts/index.html", portal=portal, page=page, search=search)
