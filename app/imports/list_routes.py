"""The list of imports: all of a portal's imports, and taking one back."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

from flask import Blueprint, g, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import ngettext

from app.accounts.current import the_user
from app.clients.list_params import read_term
from app.imports.import_list import import_page, refused_since
from app.imports.take_back import TakenBack, import_to_take_back, take_back
from app.models import Portal
from app.portals.guards import portal_view
from app.web.responses import (
    CLIENTS_CHANGED,
    DIALOG_CLOSE,
    current_page,
    dialog,
    embedding,
    succeeded_with_notice,
    wants_fragment,
    with_view,
)

bp = Blueprint("imports", __name__, url_prefix="/portals/<portal_id>/settings/accounts/imported-clients/imports")

_MOST_DIGITS = 6


@bp.get("")
@portal_view(change=False)
def index(portal: Portal) -> ResponseReturnValue:
    """The list. For htmx, what takes the place of the table in the tab, which works in a host shell's page too."""
    context = _context(portal)
    if not wants_fragment():
        return render_template("imports/index.html", **context)
    response = make_response(render_template("imports/_view.html", **context))
    if embedding():
        # A host shell keeps the table's filters in its address, and none of the list.
        return response
    here = url_for("imports.index", portal_id=portal.id, q=context["search"] or None, page=_page_asked() or None)
    # Somebody who types on changes one search, as in the table.
    return with_view(response, here, replaces="q=" in urlsplit(current_page() or "").query and bool(context["search"]))


@bp.get("/list")
@portal_view(change=False)
def fragment(portal: Portal) -> ResponseReturnValue:
    """The list alone, for a list that refreshes itself."""
    return render_template("imports/_list.html", **_context(portal))


@bp.get("/<uuid:import_id>/take-back")
@portal_view(change=True)
def confirm_take_back(portal: Portal, import_id: UUID) -> ResponseReturnValue:
    client_import, counts = import_to_take_back(portal.id, import_id)
    return dialog("imports/_take_back.html", portal=portal, client_import=client_import, counts=counts)


@bp.post("/<uuid:import_id>/take-back")
@portal_view(change=True)
def do_take_back(portal: Portal, import_id: UUID) -> ResponseReturnValue:
    here = url_for("imports.index", portal_id=portal.id)
    done = take_back(portal.id, import_id, the_user().id)
    return succeeded_with_notice(_sentence(done), here, DIALOG_CLOSE, CLIENTS_CHANGED)


def _context(portal: Portal) -> dict[str, object]:
    search, number = read_term(request.args.get("q", "")), _page_asked()
    page = import_page(portal.id, search, number or 1)
    is_whole = not search and page.number == 1
    return {
        "portal": portal,
        "search": search,
        "page": page,
        "refused_since": refused_since(portal.id) if is_whole else None,
        "may_change": g.may_change,
    }


def _page_asked() -> int:
    """The number of the page in the address, or 0 if there is no such number."""
    text = request.args.get("page", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _sentence(done: TakenBack) -> str:
    parts = [ngettext("%(num)s client removed", "%(num)s clients removed", done.removed)]
    if done.joined:
        parts.append(ngettext("%(num)s has joined and stays", "%(num)s have joined and stay", done.joined))
    return "; ".join(parts) + "."
