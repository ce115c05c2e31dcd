"""The page behind the link of a colleague's invitation. It belongs to the blueprint of the other mailed links."""

from __future__ import annotations

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.accounts.current import signed_in_user
from app.accounts.users import find_user
from app.branding.resolved import branding_of
from app.core.errors import Conflict, TooManyRequests
from app.core.links import LinkKind
from app.extensions import db
from app.models import ColleagueInvitation, Portal, User
from app.registration.colleagues import accept_colleague, register_colleague, usable_colleague_invitation
from app.registration.forms import RegistrationForm
from app.registration.guards import PAGES, bp, remember_registration
from app.registration.verification import is_verification_refused
from app.web.locale import speak
from app.web.responses import with_retry_after


@bp.get("/team-invitations/<token>")
def colleague_invitation(token: str) -> ResponseReturnValue:
    return _page(token)


@bp.post("/team-invitations/<token>")
def answer_colleague_invitation(token: str) -> ResponseReturnValue:
    invitation, portal = _opened(token)
    if find_user(invitation.email):
        return _accept(token)
    form = _form(invitation, portal)
    if not form.validate():
        return _page(token, form=form, status=422)
    portal_id = portal.id
    try:
        registration = register_colleague(token, form.name.data or "", form.password.data or "")
    except Conflict as conflict:
        return _page(token, problem=conflict.message, status=409)
    except TooManyRequests as refusal:
        return with_retry_after(_page(token, form=form, problem=refusal.message, status=429), refusal)
    remember_registration(registration, portal_id)
    return redirect(url_for("registration.verify_notice"), 303)


def _accept(token: str) -> ResponseReturnValue:
    user = signed_in_user()
    try:
        portal_id = accept_colleague(token, user.id if user else None)
    except Conflict as conflict:
        return _page(token, problem=conflict.message, status=409)
    return redirect(url_for("accounts.index", portal_id=portal_id), 303)


def _opened(token: str) -> tuple[ColleagueInvitation, Portal]:
    """The invitation behind a link. Sets this browser's language to the portal's. Raises `NotFound`, `DeadLink`."""
    invitation = usable_colleague_invitation(token)
    portal = db.session.get_one(Portal, invitation.portal_id)
    speak(branding_of(portal).language)
    return invitation, portal


def _form(invitation: ColleagueInvitation, portal: Portal) -> RegistrationForm:
    return RegistrationForm(invitation.email, [portal.name])


def _page(
    token: str, *, form: RegistrationForm | None = None, problem: str | None = None, status: int = 200
) -> Response:
    """The colleague's page. It offers to register, sign in, accept or verify, depending on the address's account."""
    invitation, portal = _opened(token)
    account, user = find_user(invitation.email), signed_in_user()
    is_owner = account is not None and user is not None and user.id == account.id
    page = render_template(
        "registration/colleague_invitation.html",
        here=url_for("registration.colleague_invitation", token=token),
        invitation=invitation,
        inviter=db.session.get(User, invitation.invited_by_id),
        branding=branding_of(portal),
        email=invitation.email,
        form=form or _form(invitation, portal),
        has_account=account is not None,
        is_owner=is_owner,
        is_verified=account is not None and account.is_verified,
        is_refused=account is not None and is_owner and is_verification_refused(account),
        problem=problem,
    )
    return make_response(page, status)


def _refused(token: str, problem: str, status: int) -> Response:
    return _page(token, problem=problem, status=status)


PAGES[LinkKind.COLLEAGUE] = _refused
