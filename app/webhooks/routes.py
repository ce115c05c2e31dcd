"""Settings → Webhooks: a portal's endpoints and their deliveries."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from flask import Blueprint, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext

from app.accounts.security.guards import stepped_up
from app.core.errors import Conflict
from app.db import rate_limits
from app.db.transactions import transaction
from app.models import Portal, WebhookEndpoint
from app.portals.guards import portal_view
from app.web.responses import succeeded_with_notice
from app.webhooks import endpoints
from app.webhooks.endpoints import UrlTaken
from app.webhooks.forms import EVENT_NAMES, EndpointForm
from app.webhooks.messages import message_name
from app.webhooks.sender import Networks

bp = Blueprint("webhooks", __name__, url_prefix="/portals/<portal_id>/settings/webhooks")

_TESTS = rate_limits.Limit("webhook-test", 10, timedelta(minutes=10))
"""Per portal, because a test event connects to whatever address the portal's settings name."""


@bp.get("")
@portal_view(change=True)
def show(portal: Portal) -> ResponseReturnValue:
    return _page(portal, _form())


@bp.post("")
@portal_view(change=True)
@stepped_up
def add(portal: Portal) -> ResponseReturnValue:
    """Answers with the page itself, because the page shows the new secret, and nothing else ever does."""
    form, portal_id = _form(), portal.id
    if not form.validate():
        return _page(portal, form), 422
    try:
        secret = endpoints.add_endpoint(portal_id, form.url.data or "", form.description.data or "", form.chosen())
    except UrlTaken as refusal:
        form.url.errors = [refusal.message]
        return _page(portal, form), 422
    return _page(portal, _form(is_new=True), secret=secret)


@bp.get("/overview")
@portal_view(change=True)
def overview(portal: Portal) -> ResponseReturnValue:
    """The part of the page that changes by itself."""
    return render_template("settings/_webhooks.html", portal=portal, **_overview(portal.id))


@bp.post("/deliveries/again")
@portal_view(change=True)
def send_given_up(portal: Portal) -> ResponseReturnValue:
    here = _here(portal)
    queued = endpoints.send_given_up(portal.id)
    return succeeded_with_notice(ngettext("Resending %(num)s event.", "Resending %(num)s events.", queued), here)


@bp.post("/deliveries/<uuid:message_id>/again")
@portal_view(change=True)
def send_again(portal: Portal, message_id: UUID) -> ResponseReturnValue:
    here = _here(portal)
    endpoints.send_again(portal.id, message_id)
    return succeeded_with_notice(_("Resending the event, under the same id."), here)


@bp.get("/<uuid:endpoint_id>")
@portal_view(change=True)
def edit(portal: Portal, endpoint_id: UUID) -> ResponseReturnValue:
    endpoint = endpoints.endpoint_of(portal.id, endpoint_id)
    return _edit_page(portal, endpoint, _form(endpoint))


@bp.post("/<uuid:endpoint_id>")
@portal_view(change=True)
@stepped_up
def save(portal: Portal, endpoint_id: UUID) -> ResponseReturnValue:
    here, portal_id = _here(portal), portal.id
    endpoint = endpoints.endpoint_of(portal_id, endpoint_id)
    form = _form(endpoint)
    if form.validate():
        try:
            endpoints.change_endpoint(
                portal_id, endpoint_id, form.url.data or "", form.description.data or "", form.chosen()
            )
        except UrlTaken as refusal:
            form.url.errors = [refusal.message]
        else:
            return succeeded_with_notice(_("Saved."), here)
    return _edit_page(portal, endpoints.endpoint_of(portal_id, endpoint_id), form), 422


@bp.post("/<uuid:endpoint_id>/switch")
@portal_view(change=True)
def switch(portal: Portal, endpoint_id: UUID) -> ResponseReturnValue:
    here, on = _here(portal), request.form.get("on") == "1"
    endpoints.switch_endpoint(portal.id, endpoint_id, on=on)
    return succeeded_with_notice(_("Switched on. Waiting events are sent now.") if on else _("Switched off."), here)


@bp.post("/<uuid:endpoint_id>/test")
@portal_view(change=True)
def test(portal: Portal, endpoint_id: UUID) -> ResponseReturnValue:
    here, portal_id = _here(portal), portal.id
    endpoints.endpoint_of(portal_id, endpoint_id)
    with transaction():
        rate_limits.use(_TESTS, portal_id)
    endpoints.send_test(portal_id, endpoint_id)
    return succeeded_with_notice(_("Test event sent. The result will appear below shortly."), here)


@bp.get("/<uuid:endpoint_id>/rotate")
@portal_view(change=True)
def ask_to_rotate(portal: Portal, endpoint_id: UUID) -> ResponseReturnValue:
    return _question(portal, endpoints.endpoint_of(portal.id, endpoint_id), "rotate")


@bp.post("/<uuid:endpoint_id>/rotate")
@portal_view(change=True)
@stepped_up
def rotate(portal: Portal, endpoint_id: UUID) -> ResponseReturnValue:
    """Answers with the page itself, because the page shows the new secret, and nothing else ever does."""
    number = request.form.get("secret_number", 0, int)
    try:
        secret = endpoints.rotate_secret(portal.id, endpoint_id, number)
    except Conflict as refusal:
        return _page(portal, _form(), alert=refusal.message), 409
    return _page(portal, _form(is_new=True), secret=secret)


@bp.get("/<uuid:endpoint_id>/delete")
@portal_view(change=True)
def ask_to_delete(portal: Portal, endpoint_id: UUID) -> ResponseReturnValue:
    return _question(portal, endpoints.endpoint_of(portal.id, endpoint_id), "delete")


@bp.post("/<uuid:endpoint_id>/delete")
@portal_view(change=True)
def delete(portal: Portal, endpoint_id: UUID) -> ResponseReturnValue:
    here = _here(portal)
    endpoints.delete_endpoint(portal.id, endpoint_id)
    return succeeded_with_notice(_("Endpoint deleted."), here)


def _form(present: WebhookEndpoint | None = None, *, is_new: bool = False) -> EndpointForm:
    allowed: Networks = current_app.config["SETTINGS"].webhook_allowed_networks
    return EndpointForm(present, allowed, is_new=is_new)


def _page(portal: Portal, form: EndpointForm, *, secret: str | None = None, alert: str | None = None) -> str:
    return render_template(
        "settings/webhooks.html",
        portal=portal,
        form=form,
        secret=secret,
        alert=alert,
        **_overview(portal.id),
    )


def _overview(portal_id: str) -> dict[str, object]:
    newest = endpoints.newest_deliveries(portal_id)
    return {
        "endpoints": endpoints.endpoints_of(portal_id),
        "most": endpoints.MOST_ENDPOINTS,
        "newest": newest,
        "given_up": endpoints.given_up_deliveries(portal_id),
        "is_live": any(line.is_on_its_way for line in newest),
        "event_names": EVENT_NAMES,
        "message_name": message_name,
    }


def _edit_page(portal: Portal, endpoint: WebhookEndpoint, form: EndpointForm) -> str:
    return render_template("settings/webhook.html", portal=portal, endpoint=endpoint, form=form)


def _question(portal: Portal, endpoint: WebhookEndpoint, question: str) -> str:
    return render_template("settings/webhook_question.html", portal=portal, endpoint=endpoint, question=question)


def _here(portal: Portal) -> str:
    # Called before a service runs, because a service's transaction makes the session forget what was loaded.
    return url_for("webhooks.show", portal_id=portal.id)
