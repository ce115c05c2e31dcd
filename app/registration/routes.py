"""The pages of invitees and account owners behind mailed links: invitation, verification, password reset.

GET and HEAD change nothing, because mail scanners open links. A change takes a POST, from a button that a person
presses.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from flask import Response, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from app.accounts.current import browser_tokens, remember_browser, signed_in_user, the_user
from app.accounts.users import find_user, names_around, places_around
from app.branding.resolved import ResolvedBranding, branding_of, brandings_of
from app.core.errors import Conflict, TooManyRequests
from app.core.links import LinkKind
from app.invitations.emails import TEST_PATH
from app.invitations.service import Invitation, LinkState, greeting_of
from app.models import Portal, Role, User
from app.registration.forms import (
    ChooseAnewForm,
    ChosenPasswordForm,
    NewOwnerForm,
    NewPasswordForm,
    PasswordResetRequestForm,
    RegistrationForm,
)
from app.registration.guards import PAGES, bp, remember_registration
from app.registration.password_reset import look_up_reset, request_reset, set_new_password
from app.registration.service import (
    DeadLink,
    accept,
    ask_for_fresh_link,
    decline,
    register,
    usable_invitation,
)
from app.registration.verification import (
    AnotherBrowser,
    Visitor,
    WrongPassword,
    is_verification_refused,
    look_up_verification,
    portal_of_account,
    send_verification_again,
    verify_email,
    verify_with_new_password,
    verify_with_password,
)
from app.web.cookies import REGISTRATIONS
from app.web.locale import speak
from app.web.responses import local_path, with_retry_after


@bp.app_errorhandler(DeadLink)
def _dead_link(dead: DeadLink) -> Response:
    if dead.portal is None:
        return make_response(render_template("registration/link_dead.html", state=dead.state), 410)
    branding = branding_of(dead.portal)
    speak(branding.language)
    token = (request.view_args or {})["token"] if dead.is_renewable else None
    page = render_template("registration/invitation_dead.html", state=dead.state, branding=branding, renewable=token)
    return make_response(page, 410)


@bp.get("/invitations/<token>")
def invitation(token: str) -> ResponseReturnValue:
    return _invitation_page(token, _opened(token))


@bp.get(TEST_PATH)
def test_link() -> ResponseReturnValue:
    """Where the link of a portal's test mail leads. No token is like it, so nothing else is answered here."""
    return render_template("registration/test_link.html")


@bp.post("/invitations/<token>")
def answer_invitation(token: str) -> ResponseReturnValue:
    found = _opened(token)
    if find_user(found.client.email):
        return _accept(token)
    form = _registration_form(found)
    if not form.validate():
        return _invitation_page(token, found, form=form, status=422)
    try:
        registration = register(token, form.name.data or "", form.password.data or "")
    except Conflict as conflict:
        return _invitation_page(token, usable_invitation(token), problem=conflict.message, status=409)
    except TooManyRequests as refusal:
        page = _invitation_page(token, usable_invitation(token), form=form, problem=refusal.message, status=429)
        return with_retry_after(page, refusal)
    remember_registration(registration, found.portal.id)
    return redirect(url_for("registration.verify_notice"), 303)


@bp.post("/invitations/<token>/decline")
def decline_invitation(token: str) -> ResponseReturnValue:
    decline(token)
    return redirect(url_for("registration.declined", token=token), 303)


@bp.get("/invitations/<token>/decline")
def declined(token: str) -> ResponseReturnValue:
    """Confirms that the invitation was declined. If it was not, redirects to the invitation."""
    found = _opened(token)
    if not found.client.is_declined:
        return redirect(url_for("registration.invitation", token=token))
    return render_template("registration/declined.html", token=token, branding=branding_of(found.portal))


@bp.post("/invitations/<token>/fresh")
def fresh_invitation(token: str) -> ResponseReturnValue:
    portal = ask_for_fresh_link(token)
    if portal is None:
        return redirect(url_for("registration.invitation", token=token), 303)
    branding = branding_of(portal)
    speak(branding.language)
    return render_template("registration/fresh_invitation.html", branding=branding)


@bp.get("/verify-email")
def verify_notice() -> ResponseReturnValue:
    """Asks to look into the mailbox, after registering and for a user who signs in before verifying."""
    user = signed_in_user()
    if user is not None and user.is_verified:
        return redirect(url_for("portals.choose"))
    return render_template(
        "registration/verify_notice.html",
        email=user.email if user is not None else session.get("registered_email"),
        branding=_branding_of_visit(),
        is_signed_in=user is not None,
        is_verified_once=user is not None and user.verified_for_portal_id is not None,
        is_refused=user is not None and is_verification_refused(user),
        sent_again="sent" in request.args,
        next_path=local_path(request.args.get("next")),
    )


@bp.post("/verify-email")
@login_required
def verify_again() -> ResponseReturnValue:
    send_verification_again(the_user().id)
    return redirect(url_for("registration.verify_notice", sent=1), 303)


@bp.get("/verify-email/<token>")
def verification(token: str) -> ResponseReturnValue:
    return _verification_page(token)


def _verification_page(token: str, problem: str | None = None, status: int = 200) -> Response:
    user = _opened_verification(token)
    page = render_template(
        "registration/verify.html", token=token, email=user.email, branding=_branding_of_visit(), problem=problem
    )
    return make_response(page, status)


def _opened_verification(token: str) -> User:
    """The account of a usable verification link. Sets the language to the portal's. Raises `NotFound`, `DeadLink`."""
    link = look_up_verification(token)
    portal = portal_of_account(link.user.id)
    if portal is not None:
        speak(branding_of(portal).language)
    if link.state is not LinkState.VALID:
        raise DeadLink(link.state)
    return link.user


@bp.post("/verify-email/<token>")
def confirm_verification(token: str) -> ResponseReturnValue:
    if "new_password" in request.form:
        return _choose_anew(token)
    try:
        return _verified(verify_email(token, _visitor()))
    except AnotherBrowser:
        return _verify_with_password(token) if "password" in request.form else _verify_elsewhere_page(token)


@bp.get("/verified")
def verified() -> ResponseReturnValue:
    return render_template(
        "registration/verified.html",
        joined_names=session.get("joined_portals", []),
        team_names=session.get("team_portals", []),
        branding=_branding_of_visit(),
    )


@bp.route("/password-reset", methods=["GET", "POST"])
def password_reset_request() -> ResponseReturnValue:
    form = PasswordResetRequestForm()
    if form.validate_on_submit():
        request_reset(form.email.data or "", request.remote_addr or "", browser_tokens())
        return redirect(url_for("registration.password_reset_request", sent=1), 303)
    return render_template("registration/password_reset_request.html", form=form, sent="sent" in request.args)


@bp.route("/password-reset/<token>", methods=["GET", "POST"])
def password_reset(token: str) -> ResponseReturnValue:
    user = look_up_reset(token)
    form = _new_password_form(user)
    if form.validate_on_submit():
        name = form.name.data if isinstance(form, NewOwnerForm) else None
        browser_token = set_new_password(token, form.password.data or "", name or "")
        return remember_browser(redirect(url_for("identity.login", reset=1), 303), browser_token)
    page = render_template("registration/password_reset.html", form=form, email=user.email)
    return make_response(page, 422 if form.is_submitted() else 200)


def _verify_with_password(token: str) -> ResponseReturnValue:
    form = ChosenPasswordForm()
    if not form.validate():
        return _verify_elsewhere_page(token, chosen=form)
    try:
        return _verified(verify_with_password(token, form.password.data or "", request.remote_addr or ""))
    except WrongPassword as problem:
        form.password.errors = [problem.message]
        return _verify_elsewhere_page(token, chosen=form)
    except TooManyRequests as refusal:
        form.password.errors = [refusal.message]
        return with_retry_after(_verify_elsewhere_page(token, chosen=form, status=429), refusal)


def _choose_anew(token: str) -> ResponseReturnValue:
    form = _form_to_choose_anew(look_up_verification(token).user)
    if not form.validate():
        return _verify_elsewhere_page(token, anew=form)
    return _verified(verify_with_new_password(token, form.name.data or "", form.new_password.data or ""))


def _verify_elsewhere_page(
    token: str,
    *,
    chosen: ChosenPasswordForm | None = None,
    anew: ChooseAnewForm | None = None,
    problem: str | None = None,
    status: int = 422,
) -> Response:
    """The page for a browser other than the one that registered, with two ways to go on. Raises `DeadLink`."""
    user = _opened_verification(token)
    page = render_template(
        "registration/verify_elsewhere.html",
        token=token,
        email=user.email,
        chosen=chosen or ChosenPasswordForm(formdata=None),
        anew=anew or _form_to_choose_anew(user),
        branding=_branding_of_visit(),
        problem=problem,
    )
    return make_response(page, status)


def _form_to_choose_anew(user: User) -> ChooseAnewForm:
    return ChooseAnewForm(user.email, places_around(user))


def _verified(portals: Sequence[tuple[Portal, Role]]) -> Response:
    session["joined_portals"] = [portal.name for portal, role in portals if role is Role.CLIENT]
    session["team_portals"] = [portal.name for portal, role in portals if role is not Role.CLIENT]
    return make_response(redirect(url_for("registration.verified"), 303))


def _visitor() -> Visitor:
    user = signed_in_user()
    keys = [UUID(key) for key in session.get(REGISTRATIONS, [])]
    return Visitor(user.id if user is not None else None, keys)


def _opened(token: str) -> Invitation:
    """The invitation behind a link. Sets this browser's language to the portal's. Raises `NotFound`, `DeadLink`."""
    found = usable_invitation(token)
    speak(branding_of(found.portal).language)
    return found


def _branding_of_visit() -> ResolvedBranding | None:
    """The branding of the portal that this browser registered for, or None."""
    portal_id = session.get("registered_portal")
    return brandings_of([portal_id]).get(portal_id) if portal_id else None


def _registration_form(found: Invitation) -> RegistrationForm:
    return RegistrationForm(found.client.email, [found.client.company_name, found.portal.name])


def _accept(token: str) -> ResponseReturnValue:
    try:
        user = signed_in_user()
        accept(token, user.id if user else None)
    except Conflict as conflict:
        return _invitation_page(token, usable_invitation(token), problem=conflict.message, status=409)
    return redirect(url_for("portals.choose"), 303)


def _invitation_page(
    token: str,
    found: Invitation,
    *,
    form: RegistrationForm | None = None,
    problem: str | None = None,
    status: int = 200,
) -> Response:
    """The invitee's page. It offers to register, sign in, accept or verify, depending on the address's account."""
    account = find_user(found.client.email)
    user = signed_in_user()
    is_owner = account is not None and user is not None and user.id == account.id
    branding = branding_of(found.portal)
    page = render_template(
        "registration/invitation.html",
        token=token,
        here=url_for("registration.invitation", token=token),
        email=found.client.email,
        invitation=found,
        branding=branding,
        greeting=greeting_of(found, branding),
        form=form or _registration_form(found),
        has_account=account is not None,
        is_owner=is_owner,
        is_verified=account is not None and account.is_verified,
        is_refused=account is not None and is_owner and is_verification_refused(account),
        problem=problem,
    )
    return make_response(page, status)


def _refused_invitation(token: str, problem: str, status: int) -> Response:
    return _invitation_page(token, _opened(token), problem=problem, status=status)


def _refused_verification(token: str, problem: str, status: int) -> Response:
    if {"password", "new_password"} & request.form.keys():
        return _verify_elsewhere_page(token, problem=problem, status=status)
    return _verification_page(token, problem, status)


def _new_password_form(user: User) -> NewOwnerForm | NewPasswordForm:
    form = NewOwnerForm if user.is_unproven else NewPasswordForm
    return form(user.email, names_around(user))


def _refused_password_reset(token: str, problem: str, status: int) -> Response:
    user = look_up_reset(token)
    form = _new_password_form(user)
    page = render_template("registration/password_reset.html", form=form, email=user.email, problem=problem)
    return make_response(page, status)


PAGES[LinkKind.INVITATION] = _refused_invitation
PAGES[LinkKind.VERIFICATION] = _refused_verification
PAGES[LinkKind.PASSWORD_RESET] = _refused_password_reset
