"""Settings → Team: who works in the portal, and inviting colleagues."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import the_user
from app.accounts.security.guards import stepped_up
from app.core.errors import DomainError, NotFound
from app.core.ids import LARGEST_ID
from app.models import TEAM_ROLES, Portal, Role
from app.outbox.routing import deployment_route
from app.portals import team
from app.portals.forms import ColleagueForm, RequiredFactorForm
from app.portals.guards import portal_view
from app.portals.required_factor import require_factor
from app.portals.team import AlreadyInvited, CannotInvite
from app.portals.team_list import team_of
from app.web.responses import CLIENTS_CHANGED, DIALOG_CLOSE, succeeded_with_notice, wants_fragment

bp = Blueprint("team", __name__, url_prefix="/portals/<portal_id>/settings/team")

_CHANGED = CLIENTS_CHANGED
"""Lets an open list fetch itself again. Every refusal because others were faster sends it, too."""


class NoRole(DomainError):
    """What was sent is no role of the team."""

    status = 422


@bp.get("")
@portal_view(change=True)
def show(portal: Portal) -> ResponseReturnValue:
    """The page; for htmx the list alone."""
    if wants_fragment():
        return render_template("settings/_team.html", portal=portal, team=team_of(portal.id))
    return _page(portal, ColleagueForm(formdata=None))


@bp.post("")
@portal_view(change=True)
@stepped_up
def invite(portal: Portal) -> ResponseReturnValue:
    form, portal_id = ColleagueForm(), portal.id
    if not form.validate():
        return _page(portal, form), 422
    email = form.email.data or ""
    try:
        team.invite_colleague(portal_id, the_user().id, email, Role(form.role.data))
    except CannotInvite as refusal:
        form.email.errors = [refusal.message]
        resend = refusal.invitation_id if isinstance(refusal, AlreadyInvited) else None
        return _page(portal, form, resend), 422
    return succeeded_with_notice(_("%(email)s is invited.", email=email), _here(portal_id), _CHANGED)


@bp.post("/<int:member_id>/role")
@portal_view(change=True)
@stepped_up
def change_role(portal: Portal, member_id: int) -> ResponseReturnValue:
    portal_id, actor_id, role = portal.id, the_user().id, request.form.get("role")
    if role not in TEAM_ROLES:
        raise NoRole(_("Choose a role: client admin or staff. Nothing was changed."))
    name = team.change_role(portal_id, actor_id, _possible(member_id), Role(role)).name
    if role == Role.CLIENT_ADMIN:
        return succeeded_with_notice(_("%(name)s is now a client admin.", name=name), _here(portal_id), _CHANGED)
    if member_id == actor_id:
        return _leave(url_for("accounts.index", portal_id=portal_id))
    return succeeded_with_notice(_("%(name)s is now staff.", name=name), _here(portal_id), _CHANGED)


@bp.get("/<int:member_id>/remove")
@portal_view(change=True)
def ask_to_remove(portal: Portal, member_id: int) -> ResponseReturnValue:
    person = team.member_to_remove(portal.id, _possible(member_id))
    template = "settings/_remove_member.html" if wants_fragment() else "settings/remove_member.html"
    return render_template(template, portal=portal, person=person)


@bp.post("/<int:member_id>/remove")
@portal_view(change=True)
@stepped_up
def remove(portal: Portal, member_id: int) -> ResponseReturnValue:
    portal_id, actor_id = portal.id, the_user().id
    name = team.remove_member(portal_id, actor_id, _possible(member_id)).name
    if member_id == actor_id:
        return _leave(url_for("portals.choose"))
    return succeeded_with_notice(
        _("%(name)s no longer works in this portal.", name=name), _here(portal_id), DIALOG_CLOSE, _CHANGED
    )


@bp.post("/invitations/<uuid:invitation_id>/resend")
@portal_view(change=True)
@stepped_up
def resend(portal: Portal, invitation_id: UUID) -> ResponseReturnValue:
    here = _here(portal.id)
    email = team.resend_invitation(portal.id, the_user().id, invitation_id)
    message = _("A new invitation goes to %(email)s. The earlier link no longer works.", email=email)
    return succeeded_with_notice(message, here, _CHANGED)


@bp.post("/invitations/<uuid:invitation_id>/withdraw")
@portal_view(change=True)
def withdraw(portal: Portal, invitation_id: UUID) -> ResponseReturnValue:
    here = _here(portal.id)
    email = team.withdraw_invitation(portal.id, the_user().id, invitation_id)
    message = _("The invitation to %(email)s is withdrawn. Its link no longer works.", email=email)
    return succeeded_with_notice(message, here, _CHANGED)


@bp.post("/second-factor")
@portal_view(change=True)
@stepped_up
def require_second_factor(portal: Portal) -> ResponseReturnValue:
    here, is_required = _here(portal.id), bool(RequiredFactorForm(portal).require_second_factor.data)
    require_factor(portal.id, the_user().id, is_required=is_required)
    message = _("A second factor is required now.") if is_required else _("A second factor is no longer required.")
    return succeeded_with_notice(message, here, _CHANGED)


def _possible(member_id: int) -> int:
    """An id that the databases take. Raises `NotFound` for any other."""
    if member_id > LARGEST_ID:
        raise NotFound
    return member_id


def _here(portal_id: str) -> str:
    return url_for("team.show", portal_id=portal_id)


def _leave(location: str) -> Response:
    """Where somebody goes who has given up their own role, and with it this page."""
    if wants_fragment():
        return make_response("", 200, {"HX-Redirect": location})
    return make_response(redirect(location, 303))


def _page(portal: Portal, form: ColleagueForm, resend: UUID | None = None) -> str:
    """`resend`: the open invitation of the typed address, which can be sent again."""
    return render_template(
        "settings/team.html",
        portal=portal,
        team=team_of(portal.id),
        form=form,
        factor_form=RequiredFactorForm(portal),
        resend=resend,
        has_deployment_server=deployment_route(current_app.config["SETTINGS"]) is not None,
    )
