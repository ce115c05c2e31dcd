"""Ending a client's access on the tab All, and giving it back."""

from __future__ import annotations

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import the_user
from app.clients.access import access_to_end, access_to_give_back, end_access, give_access_back
from app.models import Portal
from app.portals.guards import portal_view
from app.web.responses import CLIENTS_CHANGED, DIALOG_CLOSE, dialog, succeeded_with_notice

bp = Blueprint("access", __name__, url_prefix="/portals/<portal_id>/settings/accounts/<int:user_id>")


@bp.get("/end-access")
@portal_view(change=True)
def confirm_end(portal: Portal, user_id: int) -> ResponseReturnValue:
    user = access_to_end(portal.id, user_id)
    return dialog("portals/_end_access.html", portal=portal, account=user, tab="all")


@bp.post("/end-access")
@portal_view(change=True)
def end(portal: Portal, user_id: int) -> ResponseReturnValue:
    here = url_for("accounts.index", portal_id=portal.id)
    name = end_access(portal.id, user_id, the_user().id)
    return succeeded_with_notice(_("Access of %(name)s ended.", name=name), here, DIALOG_CLOSE, CLIENTS_CHANGED)


@bp.get("/give-access-back")
@portal_view(change=True)
def confirm_give_back(portal: Portal, user_id: int) -> ResponseReturnValue:
    user = access_to_give_back(portal.id, user_id)
    return dialog("portals/_give_access_back.html", portal=portal, account=user, tab="all")


@bp.post("/give-access-back")
@portal_view(change=True)
def give_back(portal: Portal, user_id: int) -> ResponseReturnValue:
    here = url_for("accounts.index", portal_id=portal.id)
    name = give_access_back(portal.id, user_id, the_user().id)
    return succeeded_with_notice(_("%(name)s has access again.", name=name), here, DIALOG_CLOSE, CLIENTS_CHANGED)
