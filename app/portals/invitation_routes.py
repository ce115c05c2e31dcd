"""Settings → Invitations: reminders, fresh links, and who is told when clients join."""

from __future__ import annotations

from flask import Blueprint, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import the_user
from app.models import Portal
from app.portals.forms import InvitationSettingsForm
from app.portals.guards import portal_view
from app.portals.invitation_settings import save_invitation_settings
from app.portals.service import find_membership
from app.web.responses import succeeded_with_notice

bp = Blueprint("invitation_settings", __name__, url_prefix="/portals/<portal_id>/settings/invitations")


@bp.get("")
@portal_view(change=True)
def show(portal: Portal) -> ResponseReturnValue:
    return _page(portal, _form(portal))


@bp.post("")
@portal_view(change=True)
def save(portal: Portal) -> ResponseReturnValue:
    form = _form(portal)
    if not form.validate():
        return _page(portal, form), 422
    here = url_for("invitation_settings.show", portal_id=portal.id)
    save_invitation_settings(portal.id, the_user().id, form.portal_settings(), form.notice())
    return succeeded_with_notice(_("Saved."), here)


def _form(portal: Portal) -> InvitationSettingsForm:
    membership = find_membership(portal.id, the_user().id)
    return InvitationSettingsForm(portal, membership.join_notice if membership else None)


def _page(portal: Portal, form: InvitationSettingsForm) -> str:
    return render_template("settings/invitations.html", portal=portal, form=form)
