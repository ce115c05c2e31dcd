"""The Imported Clients tab: its page, its table fragment and its dialogs."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, current_app, g, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.clients.forms import AddClientForm
from app.clients.queries import client_page, client_row, count_clients, fingerprint, glance, waiting_mails
from app.clients.services import add_client, remove_client, resend_invite
from app.clients.view import TableView, read_view
from app.identity.current import the_user
from app.importing.queries import recent_imports
from app.models import Portal
from app.portals.guards import portal_view
from app.problems import Conflict, NotFound
from app.web import CLIENTS_CHANGED, DIALOG_CLOSE, dialog, done, wants_fragment

bp = Blueprint("clients", __name__, url_prefix="/portals/<portal_id>/settings/accounts/imported-clients")


@bp.get("")
@portal_view(change=False)
def index(portal: Portal) -> ResponseReturnValue:
    """The tab; for htmx, the part of it that follows a filter, an order or a page, with its address."""
    view = read_view(request.args.to_dict(flat=False))
    context = {"imports": recent_imports(portal.id), **_table(portal, view), **_mail_state(portal)}
    if not wants_fragment():
        return render_template("clients/index.html", **context)
    response = make_response(render_template("clients/_view.html", **context))
    response.headers["HX-Push-Url"] = url_for("clients.index", portal_id=portal.id, **view.query())
    return response


@bp.get("/table")
@portal_view(change=False)
def table(portal: Portal) -> ResponseReturnValue:
    """The table alone. 204 when `seen` says that the browser shows just this already."""
    context = _table(portal, read_view(request.args.to_dict(flat=False)))
    if request.args.get("seen") == context["fingerprint"]:
        return "", 204
    return render_template("clients/_table.html", **context)


@bp.get("/new")
@portal_view(change=True)
def new(portal: Portal) -> ResponseReturnValue:
    return dialog("clients/_new.html", portal=portal, form=AddClientForm())


@bp.post("")
@portal_view(change=True)
def add(portal: Portal) -> ResponseReturnValue:
    form = AddClientForm()
    if not form.validate():
        return dialog("clients/_new.html", status=422, portal=portal, form=form)
    here = _index_url(portal)
    add_client(portal.id, the_user().id, form.company_name.data or "", form.email.data or "")
    return done(here, DIALOG_CLOSE, CLIENTS_CHANGED)


@bp.post("/<uuid:client_id>/resend")
@portal_view(change=True)
def resend(portal: Portal, client_id: UUID) -> ResponseReturnValue:
    here = _index_url(portal)
    resend_invite(portal.id, client_id, the_user().id)
    return done(here, CLIENTS_CHANGED)


@bp.get("/<uuid:client_id>/remove")
@portal_view(change=True)
def confirm_remove(portal: Portal, client_id: UUID) -> ResponseReturnValue:
    row = client_row(portal.id, client_id)
    if row is None:
        raise NotFound
    if row.client.is_joined:
        raise Conflict(f"{row.client.company_name} has joined, so it cannot be removed.")
    return dialog("clients/_remove.html", portal=portal, client=row.client)


@bp.delete("/<uuid:client_id>")
@bp.post("/<uuid:client_id>/remove")
@portal_view(change=True)
def remove(portal: Portal, client_id: UUID) -> ResponseReturnValue:
    here = _index_url(portal)
    remove_client(portal.id, client_id, the_user().id)
    return done(here, DIALOG_CLOSE, CLIENTS_CHANGED)


def _table(portal: Portal, view: TableView) -> dict[str, object]:
    page = client_page(portal.id, view)
    count = count_clients(portal.id, view)
    numbers = glance(portal.id)
    return {
        "portal": portal,
        "view": view,
        "page": page,
        "count": count,
        "glance": numbers,
        "fingerprint": fingerprint(page, count, numbers),
        "may_change": g.may_change,
    }


def _mail_state(portal: Portal) -> dict[str, object]:
    is_set_up = current_app.config["SETTINGS"].mail is not None
    return {"mail_is_set_up": is_set_up, "waiting": 0 if is_set_up else waiting_mails(portal.id)}


def _index_url(portal: Portal) -> str:
    # Asked for before a service runs: its transaction makes the session forget what was loaded.
    return url_for("clients.index", portal_id=portal.id)
