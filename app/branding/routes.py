"""Settings → Branding: a draft with its preview, and publishing it."""

from __future__ import annotations

import hashlib

from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import force_locale
from flask_babel import gettext as _
from werkzeug.exceptions import RequestEntityTooLarge

from app.accounts.current import the_user
from app.branding.forms import BrandingForm
from app.branding.logo import MAX_BYTES, TOO_LARGE, LogoError, Picture, read_logo
from app.branding.resolved import ACCENT, ResolvedBranding, branding_of
from app.branding.service import branding_at_work, discard_draft, has_draft, publish, save_draft, set_logo
from app.branding.wording import PLACEHOLDERS
from app.core.errors import DomainError
from app.invitations.preview import sample_invitation, sample_mail, sample_subject
from app.invitations.service import greeting_of
from app.models import Portal, Stage
from app.portals.guards import portal_view
from app.registration.forms import RegistrationForm
from app.web.responses import drain_request, own_frame, shown_mail, succeeded_with_notice, wants_fragment
from app.web.uploads import takes_upload

bp = Blueprint("branding", __name__, url_prefix="/portals/<portal_id>/settings/branding")

LOGO_CHANGED = "logo-changed"
"""Sent with an answer after which the preview is out of date. It then fetches itself."""

# The file's limit is measured on the file. The form around it needs some room of its own.
_REQUEST_BYTES = MAX_BYTES + 64 * 1024


@bp.get("")
@portal_view(change=True)
def show(portal: Portal) -> ResponseReturnValue:
    return _page(portal, _form(portal))


@bp.post("")
@portal_view(change=True)
def save(portal: Portal) -> ResponseReturnValue:
    """Save the draft. The page calls this while somebody types, and gets the preview as the answer."""
    form, portal_id = _form(portal), portal.id
    is_valid = form.validate()
    if is_valid:
        save_draft(portal_id, form.design())
    if wants_fragment():
        page = render_template(
            "settings/_preview_update.html",
            portal_id=portal_id,
            form=form,
            has_draft=has_draft(portal_id),
            **_previewed(portal),
        )
        return page, 200 if is_valid else 422
    if not is_valid:
        return _page(portal, form), 422
    return _back_with_notice(_("Draft saved. Only client admins see it until you publish."), portal_id)


@bp.post("/reset-words")
@portal_view(change=True)
def reset_words(portal: Portal) -> ResponseReturnValue:
    """Reset the subject and the greeting of the draft to the service's. The rest of what was typed is kept."""
    form, portal_id = _form(portal), portal.id
    form.subject.data = form.greeting.data = ""
    if not form.validate():
        return _page(portal, form), 422
    save_draft(portal_id, form.design())
    return _back_with_notice(_("Draft saved with the default subject and greeting."), portal_id)


@bp.post("/publish")
@portal_view(change=True)
def publish_draft(portal: Portal) -> ResponseReturnValue:
    form, portal_id = _form(portal), portal.id
    if not form.validate():
        return _page(portal, form), 422
    publish(portal_id, form.design())
    return _back_with_notice(
        _("Published. Invitations sent from now on, and the pages behind every link, look like this."), portal_id
    )


@bp.post("/discard")
@portal_view(change=True)
def discard(portal: Portal) -> ResponseReturnValue:
    portal_id = portal.id
    discard_draft(portal_id)
    return _back_with_notice(_("Draft discarded. The published version is shown below."), portal_id)


@bp.post("/logo")
@takes_upload(_REQUEST_BYTES)
@portal_view(change=True)
def upload_logo(portal: Portal) -> ResponseReturnValue:
    file = request.files.get("logo")
    if file is None or not file.filename:
        return _refused_logo(portal, _("Choose a picture first.")), 422
    try:
        picture = read_logo(file.stream.read(MAX_BYTES + 1))
    except LogoError as error:
        return _refused_logo(portal, error.message), 422
    return _with_logo(portal, picture, _("Logo saved in the draft. Only client admins see it until you publish."))


@bp.post("/logo/remove")
@portal_view(change=True)
def remove_logo(portal: Portal) -> ResponseReturnValue:
    return _with_logo(portal, None, _("Logo removed from the draft."))


@bp.errorhandler(RequestEntityTooLarge)
def _too_large(error: RequestEntityTooLarge) -> ResponseReturnValue:
    drain_request()
    try:
        return _too_large_page(portal_id=(request.view_args or {})["portal_id"])
    except DomainError as refusal:
        # An exception that is raised while an error is handled does not reach a handler by itself.
        return current_app.handle_user_exception(refusal)


@portal_view(change=True)
def _too_large_page(portal: Portal) -> ResponseReturnValue:
    return _refused_logo(portal, TOO_LARGE), 413


# The preview. Each one is a document of its own, shown in a frame of the page. Nothing in it can be pressed.


@bp.get("/preview/mail")
@portal_view(change=True)
def preview_mail(portal: Portal) -> ResponseReturnValue:
    return shown_mail(sample_mail(portal, the_user(), _draft_branding(portal), is_dark=_is_dark()))


@bp.get("/preview/invitation")
@portal_view(change=True)
def preview_invitation(portal: Portal) -> ResponseReturnValue:
    found, branding = sample_invitation(portal, the_user()), _draft_branding(portal)
    with force_locale(branding.language):
        page = render_template(
            "registration/invitation.html",
            token="preview",
            here=url_for("registration.invitation", token="preview"),
            email=found.client.email,
            invitation=found,
            branding=branding,
            greeting=greeting_of(found, branding),
            form=RegistrationForm(found.client.email, []),
            has_account=False,
            is_owner=False,
            is_verified=False,
            problem=None,
            preview_theme="dark" if _is_dark() else "light",
        )
    return own_frame(page)


@bp.get("/preview/registered")
@portal_view(change=True)
def preview_registered(portal: Portal) -> ResponseReturnValue:
    found, branding = sample_invitation(portal, the_user()), _draft_branding(portal)
    with force_locale(branding.language):
        page = render_template(
            "registration/verify_notice.html",
            email=found.client.email,
            branding=branding,
            is_signed_in=False,
            is_verified_once=False,
            sent_again=False,
            preview_theme="dark" if _is_dark() else "light",
        )
    return own_frame(page)


def _form(portal: Portal) -> BrandingForm:
    return BrandingForm(branding_at_work(portal.id))


def _draft_branding(portal: Portal) -> ResolvedBranding:
    return branding_of(portal, Stage.DRAFT if has_draft(portal.id) else Stage.PUBLISHED)


def _is_dark() -> bool:
    return request.args.get("theme") == "dark"


def _version(portal: Portal) -> str:
    """A text that changes whenever the preview would change, so that its frames are loaded again."""
    return hashlib.sha256(repr(_draft_branding(portal)).encode()).hexdigest()[:12]


def _back_with_notice(message: str, portal_id: str) -> Response:
    return succeeded_with_notice(message, url_for("branding.show", portal_id=portal_id))


def _with_logo(portal: Portal, picture: Picture | None, message: str) -> Response:
    portal_id = portal.id
    set_logo(portal_id, picture)
    if not wants_fragment():
        return _back_with_notice(message, portal_id)
    logo = _draft_branding(portal).logo
    response = make_response(render_template("settings/_logo.html", portal_id=portal_id, logo=logo, logo_error=None))
    response.headers["HX-Trigger"] = LOGO_CHANGED
    return response


def _refused_logo(portal: Portal, message: str) -> str:
    if wants_fragment():
        logo = _draft_branding(portal).logo
        return render_template("settings/_logo.html", portal_id=portal.id, logo=logo, logo_error=message)
    # The fields of the other form were not sent, or could not be read.
    return _page(portal, BrandingForm(branding_at_work(portal.id), typed=False), logo_error=message)


def _previewed(portal: Portal) -> dict[str, object]:
    """What the template of the preview needs of the draft."""
    subject = sample_subject(portal, the_user(), _draft_branding(portal))
    return {"version": _version(portal), "subject": subject}


def _page(portal: Portal, form: BrandingForm, logo_error: str | None = None) -> str:
    return render_template(
        "settings/branding.html",
        portal=portal,
        form=form,
        logo=_draft_branding(portal).logo,
        logo_error=logo_error,
        has_draft=has_draft(portal.id),
        placeholders=PLACEHOLDERS,
        default_accent=ACCENT,
        **_previewed(portal),
    )
