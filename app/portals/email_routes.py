"""Settings → Email: the mail server of a portal, and its test mail."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, current_app, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import the_user
from app.audit import service as audit
from app.audit.service import AuditKind
from app.core.errors import TooManyRequests
from app.db import rate_limits
from app.db.transactions import transaction
from app.deliverability.sender_check import SenderCheck, check_sender
from app.invitations.preview import invitation_as_test
from app.models import Portal
from app.net.dialer import PublicOrIn
from app.net.dns import Dns
from app.outbox.connection_test import ConnectionTest, run_connection_test
from app.outbox.routing import DEPLOYMENT, deployment_route, pauses_of, route_of
from app.outbox.server_settings import PasswordNeeded, own_server_of, save_mail_settings
from app.portals.forms import MailServerForm
from app.portals.guards import portal_view
from app.web.responses import succeeded_with_notice, wants_fragment

bp = Blueprint("email_settings", __name__, url_prefix="/portals/<portal_id>/settings/email")

_TEST_MAILS = rate_limits.Limit("test-mail", 10, timedelta(minutes=10))
"""Per portal, because a test mail connects to any server that the settings name."""


_SENDER_CHECKS = rate_limits.Limit("sender-check", 20, timedelta(minutes=10))
"""Per portal, because a check asks the DNS for domains that the settings name."""


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
    if not form.validate() or not form.is_confirmed():
        return _page(portal, form), 422
    try:
        save_mail_settings(portal_id, form.own_server(), form.reply_to.data or None)
    except PasswordNeeded as refusal:
        form.password.errors = [refusal.message]
        return _page(portal, form), 422
    return succeeded_with_notice(_("Saved. Waiting emails are sent now."), here)


@bp.post("/test")
@portal_view(change=True)
def test(portal: Portal) -> ResponseReturnValue:
    """Send the portal's invitation, marked as a test, to the signed-in user, with the saved settings."""
    with transaction():
        rate_limits.use(_TEST_MAILS, portal.id)
        audit.record(portal.id, AuditKind.MAIL_TESTED)
    route = route_of(portal.id)
    tested = run_connection_test(route, invitation_as_test(portal, the_user(), route)) if route else None
    return _page(portal, _form(portal), tested)


@bp.get("/sender")
@portal_view(change=True)
def sender(portal: Portal) -> ResponseReturnValue:
    """Look up the DNS records of the sender's domain, if the portal sends through its own server."""
    portal_id = portal.id
    own = own_server_of(portal_id)
    if own is None:
        return _sender(portal, words=_("This portal uses this service's mail server, so there's nothing to set up."))
    settings = current_app.config["SETTINGS"]
    bounce_address = settings.mail_bounce_address if own.uses_bounce_address else None
    asked = own.sender, own.host, own.dkim_selector, bounce_address
    try:
        # Its end also gives the database's connection back: the DNS may take seconds.
        with transaction():
            rate_limits.use(_SENDER_CHECKS, portal_id)
    except TooManyRequests as refusal:
        if not wants_fragment():
            raise
        return _sender(portal, words=refusal.message)  # nobody pressed anything, so this is no error of theirs
    return _sender(portal, check_sender(Dns(settings.dns_resolvers), *asked))


def _sender(portal: Portal, check: SenderCheck | None = None, words: str = "") -> str:
    template = "settings/_sender_check.html" if wants_fragment() else "settings/sender_check.html"
    return render_template(template, portal=portal, check=check, words=words)


def _form(portal: Portal) -> MailServerForm:
    permits = PublicOrIn(current_app.config["SETTINGS"].mail_allowed_networks)
    return MailServerForm(portal, own_server_of(portal.id), permits)


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
        checks_sender=route is not None and route.key != DEPLOYMENT,
    )
