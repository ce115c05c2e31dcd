"""The Imported Clients tab: its page, its table fragment and its dialogs."""

from __future__ import annotations

from itertools import chain
from urllib.parse import urlsplit
from uuid import UUID

from flask import Blueprint, Response, current_app, g, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import the_user
from app.clients.chart import bars, last_weeks
from app.clients.detail import client_history, mail_in_words
from app.clients.export import FILE_NAME, csv_chunks, record_export
from app.clients.forms import AddClientForm, ClientForm
from app.clients.list_queries import client_row
from app.clients.service import (
    AddressTaken,
    RecipientDeclined,
    add_client,
    correct_client,
    remove_client,
    resend_invite,
)
from app.clients.tab import asked_view, tab_context, table_html
from app.core.clock import now
from app.core.errors import Conflict, NotFound
from app.models import ImportedClient, Portal
from app.portals.guards import portal_view
from app.web.responses import (
    CLIENTS_CHANGED,
    DIALOG_CLOSE,
    current_page,
    dialog,
    opening_dialog,
    succeeded,
    succeeded_with_notice,
    wants_fragment,
    with_view,
)

bp = Blueprint("clients", __name__, url_prefix="/portals/<portal_id>/settings/accounts/imported-clients")


@bp.get("")
@portal_view(change=False)
def index(portal: Portal) -> ResponseReturnValue:
    """The tab. For htmx, only the part that depends on filter, order and page, with the URL of the view."""
    view = asked_view(portal)
    context = tab_context(portal, view)
    if not wants_fragment():
        return render_template("clients/index.html", **context)
    response = make_response(render_template("clients/_view.html", **context))
    # Somebody who types on changes one search. Back then leads to what was shown before it.
    types_on = bool(view.search) and "q=" in urlsplit(current_page() or "").query
    return with_view(response, url_for("clients.index", portal_id=portal.id, **view.query()), replaces=types_on)


@bp.get("/table")
@portal_view(change=False)
def table(portal: Portal) -> ResponseReturnValue:
    """The table alone, or 204 if the browser already shows it according to `seen`."""
    html = table_html(portal, asked_view(portal), request.args.get("seen", ""))
    return html if html is not None else ("", 204)


@bp.get("/export.csv")
@portal_view(change=False)
def export(portal: Portal) -> ResponseReturnValue:
    """The filtered, ordered table as a CSV file, with all pages."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # the proxy is empty while we stream
    portal_id, view = portal.id, asked_view(portal)
    record_export(portal_id, view)
    chunks = csv_chunks(app, portal_id, view)
    # The first chunk is read now, so that a database error is still answered with an error page.
    first = next(chunks)
    return Response(
        chain([first], chunks),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{FILE_NAME}-{now():%Y-%m-%d}.csv"'},
    )


@bp.get("/weeks")
@portal_view(change=False)
def weeks(portal: Portal) -> ResponseReturnValue:
    """The chart of the last weeks, loaded only when somebody opens it."""
    numbers = last_weeks(portal.id)
    return dialog("clients/_weeks.html", portal=portal, weeks=numbers, bars=bars(numbers))


@bp.get("/new")
@portal_view(change=True)
def new(portal: Portal) -> ResponseReturnValue:
    return dialog("clients/_new.html", portal=portal, form=AddClientForm())


@bp.post("")
@portal_view(change=True)
def add(portal: Portal) -> ResponseReturnValue:
    """Add one client. The only action that says nothing, because the answer must not tell whether it was there."""
    form = AddClientForm()
    if not form.validate():
        return dialog("clients/_new.html", status=422, portal=portal, form=form)
    here = _index_url(portal)
    company_name, email = form.company_name.data or "", form.email.data or ""
    add_client(portal.id, the_user().id, company_name, email, form.message.data)
    return succeeded(here, DIALOG_CLOSE, CLIENTS_CHANGED)


@bp.post("/<uuid:client_id>/resend")
@portal_view(change=True)
def resend(portal: Portal, client_id: UUID) -> ResponseReturnValue:
    """Resend the invitation. If the recipient has declined, first show a dialog that posts here with `confirmed`."""
    here = _index_url(portal)
    try:
        company = resend_invite(portal.id, client_id, the_user().id, confirmed="confirmed" in request.form)
    except RecipientDeclined:
        return opening_dialog(dialog("clients/_resend.html", portal=portal, client=_client(portal, client_id)))
    return _done(_("Invitation to %(company)s resent.", company=company), here)


@bp.get("/<uuid:client_id>/remove")
@portal_view(change=True)
def confirm_remove(portal: Portal, client_id: UUID) -> ResponseReturnValue:
    row = client_row(portal.id, client_id)
    if row is None:
        raise NotFound
    if row.client.has_account:
        raise Conflict(_("%(company)s has joined, so it can't be removed.", company=row.client.company_name))
    return dialog("clients/_remove.html", portal=portal, client=row.client)


@bp.delete("/<uuid:client_id>")
@bp.post("/<uuid:client_id>/remove")
@portal_view(change=True)
def remove(portal: Portal, client_id: UUID) -> ResponseReturnValue:
    here = _index_url(portal)
    company = remove_client(portal.id, client_id, the_user().id)
    return _done(_("%(company)s removed.", company=company), here)


@bp.get("/<uuid:client_id>/history")
@portal_view(change=False)
def history(portal: Portal, client_id: UUID) -> ResponseReturnValue:
    """The side panel, or 204 if the browser already shows it according to `seen`."""
    found = client_history(portal.id, client_id)
    seen = request.args.get("seen")
    if found is None and seen is not None:
        # An open panel reloads whenever clients have changed. Our usual 404 reports such a change, so it would loop.
        return dialog("clients/_history_gone.html", 404, portal=portal)
    if found is None:
        raise NotFound
    if found.fingerprint == seen:
        return "", 204
    return dialog(
        "clients/_history.html", portal=portal, history=found, may_change=g.may_change, opened=None, mail=None
    )


@bp.get("/<uuid:client_id>/mails/<uuid:mail_id>")
@portal_view(change=False)
def mail(portal: Portal, client_id: UUID, mail_id: UUID) -> ResponseReturnValue:
    """A mail's text with its link cut: the fragment for htmx, otherwise in the client's history."""
    words = mail_in_words(portal.id, client_id, mail_id)
    found = client_history(portal.id, client_id)
    if words is None or found is None:
        raise NotFound
    if wants_fragment():
        return render_template("clients/_mail.html", mail=words)
    return dialog(
        "clients/_history.html", portal=portal, history=found, may_change=g.may_change, opened=mail_id, mail=words
    )


@bp.get("/<uuid:client_id>/correct")
@portal_view(change=True)
def correct_form(portal: Portal, client_id: UUID) -> ResponseReturnValue:
    client = _client(portal, client_id)
    if client.has_account:
        raise Conflict(_("%(company)s has joined, so it can't be edited.", company=client.company_name))
    # The address may be one that a row proposes.
    form = ClientForm(company_name=client.company_name, email=request.args.get("email", client.email))
    return dialog("clients/_correct.html", portal=portal, client=client, form=form)


@bp.post("/<uuid:client_id>/correct")
@portal_view(change=True)
def correct(portal: Portal, client_id: UUID) -> ResponseReturnValue:
    form = ClientForm()
    here = _index_url(portal)
    if form.validate():
        company = form.company_name.data or ""
        try:
            correct_client(portal.id, client_id, the_user().id, company, form.email.data or "")
        except AddressTaken as taken:
            form.email.errors = [taken.message]
        else:
            return _done(_("%(company)s saved and invitation resent.", company=company), here)
    return dialog("clients/_correct.html", status=422, portal=portal, client=_client(portal, client_id), form=form)


def _done(message: str, location: str) -> Response:
    return succeeded_with_notice(message, location, DIALOG_CLOSE, CLIENTS_CHANGED)


def _client(portal: Portal, client_id: UUID) -> ImportedClient:
    row = client_row(portal.id, client_id)
    if row is None:
        raise NotFound
    return row.client


def _index_url(portal: Portal) -> str:
    # Callers build this URL before they call a service: its transaction expires the loaded objects.
    return url_for("clients.index", portal_id=portal.id)
