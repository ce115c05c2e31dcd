"""Settings → E-mail: the mail server of a portal, and its test mail."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, current_app, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import the_user
from app.db import rate_limits
from app.db.transactions import transaction
from app.models import Portal
from app.net.dialer import PublicOrIn
from app.outbox.connection_test import ConnectionTest, run_connection_test
from app.outbox.routing import DEPLOYMENT, deployment_route, pauses_of, route_of
from app.outbox.server_settings import PasswordNeeded, drop_own_server, own_server_of, save_own_server
from app.portals.forms import MailServerForm
from app.portals.guards import portal_view
from app.web.responses import succeeded_with_notice

bp = Blueprint("email_settings", __name__, url_prefix="/portals/<portal_id>/settings/email")

_TEST_MAILS = rate_limits.Limit("test-mail", 10, timedelta(minutes=10))
"""Per portal, because a test mail connects to any server that the settings name."""


@bp.get("")
@portal_view(change=True)
def show(portal: Portal) -> ResponseReturnValue:
    return _page(portal, _form(portal))


@bp.post("")
@portal_view(change=True)
def save(portal: Portal) -> ResponseReturnValue:
    form = _form(portal)
    here = url_for("email_settings.show", portal_id=portal.id)
    portal_id = portal.id
    if not form.validate():
        return _page(portal, form), 422
    if form.is_own:
        try:
            save_own_server(portal_id, form.own_server())
        except PasswordNeeded as refusal:
            form.password.errors = [refusal.message]
            return _page(portal, form), 422
    elif own_server_of(portal_id) is not None:
        drop_own_server(portal_id)
    return succeeded_with_notice(_("Saved. Mails that were waiting go out now."), here)


@bp.post("/test")
@portal_view(change=True)
def test(portal: Portal) -> ResponseReturnValue:
    """Send a test mail to the signed-in user, with the saved settings."""
    portal_id, portal_name, recipient = portal.id, portal.name, the_user().email
    with transaction():
        rate_limits.use(_TEST_MAILS, portal_id)
    route = route_of(portal_id)
    tested = run_connection_test(route, portal_name, recipient) if route else None
    return _page(portal, _form(portal), tested)


def _form(portal: Portal) -> MailServerForm:
    permits = PublicOrIn(current_app.config["SETTINGS"].mail_allowed_networks)
    return MailServerForm(own_server_of(portal.id), permits, portal.name)


def _page(portal: Portal, form: MailServerForm, tested: ConnectionTest | None = None) -> str:
    route = route_of(portal.id)
    pause, account_pause = pauses_of(portal.id)
    return render_template(
        "settings/email.html",
        portal=portal,
        form=form,
        connection_test=tested,
        route=route,
        pause=pause,
        account_pause=account_pause if route is not None and route.key != DEPLOYMENT else None,
        has_deployment_server=deployment_route(current_app.config["SETTINGS"]) is not None,
        bounce_address=current_app.config["SETTINGS"].mail_bounce_address,
        has_password=(own := own_server_of(portal.id)) is not None and own.encrypted_password is not None,
        sender_domain=route.sender.rpartition("@")[2].rstrip(">") if route else "",
    )
