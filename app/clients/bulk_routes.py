"""Bulk actions: the confirmation dialogs and the actions for the clients ticked in the table."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import ngettext
from werkzeug.datastructures import MultiDict

from app.accounts.current import the_user
from app.clients.bulk import Outcome, left_out, look_at, remove_clients, resend_clients
from app.clients.list_params import TableView
from app.clients.tab import asked_view
from app.core.ids import read_id
from app.models import Portal
from app.portals.guards import portal_view
from app.web.responses import CLIENTS_CHANGED, DIALOG_CLOSE, SELECTION_DONE, dialog, succeeded_with_notice

bp = Blueprint("bulk", __name__, url_prefix="/portals/<portal_id>/settings/accounts/imported-clients/bulk")


@bp.get("/resend")
@portal_view(change=True)
def confirm_resend(portal: Portal) -> ResponseReturnValue:
    return _question("clients/_bulk_resend.html", portal)


@bp.post("/resend")
@portal_view(change=True)
def resend(portal: Portal) -> ResponseReturnValue:
    here = _back(portal)
    outcome = resend_clients(portal.id, _chosen_ids(portal), the_user().id)
    return _answer(ngettext("%(num)s invitation resent.", "%(num)s invitations resent.", outcome.done), outcome, here)


@bp.get("/remove")
@portal_view(change=True)
def confirm_remove(portal: Portal) -> ResponseReturnValue:
    return _question("clients/_bulk_remove.html", portal)


@bp.post("/remove")
@portal_view(change=True)
def remove(portal: Portal) -> ResponseReturnValue:
    here = _back(portal)
    outcome = remove_clients(portal.id, _chosen_ids(portal), the_user().id)
    return _answer(ngettext("%(num)s client removed.", "%(num)s clients removed.", outcome.done), outcome, here)


def _question(template: str, portal: Portal) -> ResponseReturnValue:
    selection = look_at(portal.id, _chosen(portal, request.args))
    return dialog(
        template, portal=portal, selection=selection, back=_back(portal), filters=asked_view(portal).filter_arguments()
    )


def _answer(sentence: str, outcome: Outcome, location: str) -> ResponseReturnValue:
    message = " ".join([sentence, *left_out(outcome)])
    return succeeded_with_notice(message, location, DIALOG_CLOSE, SELECTION_DONE, CLIENTS_CHANGED)


def _chosen_ids(portal: Portal) -> set[UUID]:
    """The ids that a posted form chose. With `all`, the clients that match the filter now."""
    chosen = _chosen(portal, request.form)
    return set(look_at(portal.id, chosen).pending) if isinstance(chosen, TableView) else chosen


def _chosen(portal: Portal, fields: MultiDict[str, str]) -> TableView | set[UUID]:
    """All clients that match the filter (`all`), or the named ones: one or more ids in each `client_id`."""
    if fields.get("all"):
        return asked_view(portal)
    texts = [text for value in fields.getlist("client_id") for text in value.split()]
    return {client_id for client_id in map(read_id, texts) if client_id}


def _back(portal: Portal) -> str:
    # Callers build this URL before they call a service: its transaction expires the loaded objects.
    return url_for("clients.index", portal_id=portal.id, **asked_view(portal).filter_arguments())
