"""The portal picker and the Accounts page's tab All."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from app.identity.current import the_user
from app.models import Portal, Role
from app.portals.guards import portal_view
from app.portals.queries import account_page
from app.portals.services import memberships_of

bp = Blueprint("portals", __name__)
accounts_bp = Blueprint("accounts", __name__, url_prefix="/portals/<portal_id>/settings/accounts")


@bp.get("/portals")
@login_required
def choose() -> ResponseReturnValue:
    user = the_user()
    if not user.is_verified:
        return redirect(url_for("registration.verify_notice"))
    memberships = memberships_of(user.id)
    return render_template(
        "portals/choose.html",
        managed=[m for m in memberships if m.role is not Role.CLIENT],
        joined=[m for m in memberships if m.role is Role.CLIENT],
    )


@accounts_bp.get("")
@portal_view(change=False)
def index(portal: Portal) -> ResponseReturnValue:
    search = request.args.get("q", "").replace("\0", "").strip()[:100]
    page = account_page(portal.id, search, request.args.get("after", type=int))
    return render_template("accounts/index.html", portal=portal, page=page, search=search)
