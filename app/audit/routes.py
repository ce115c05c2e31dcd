"""Settings → Audit: who did what in the portal, and the same as a CSV file."""

from __future__ import annotations

from itertools import chain

from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.audit.export import FILE_NAME, csv_chunks, record_export
from app.audit.list_params import read_view
from app.audit.queries import audit_page, people_of
from app.audit.words import ACTORS, GROUPS
from app.core.clock import now
from app.models import Portal
from app.portals.guards import portal_view
from app.web.responses import wants_fragment, with_view

bp = Blueprint("audit", __name__, url_prefix="/portals/<portal_id>/settings")


@bp.get("/audit")
@portal_view(change=True)
def show(portal: Portal) -> ResponseReturnValue:
    """The page. For htmx, what depends on filter and page, with the URL of the view."""
    view = read_view(request.args)
    context = {
        "portal": portal,
        "view": view,
        "page": audit_page(portal.id, view),
        "people": people_of(portal.id),
        "actors": ACTORS,
        "groups": GROUPS,
    }
    if not wants_fragment():
        return render_template("settings/audit.html", **context)
    response = make_response(render_template("settings/_audit.html", **context))
    return with_view(response, url_for("audit.show", portal_id=portal.id, **view.query()))


@bp.get("/audit.csv")
@portal_view(change=True)
def export(portal: Portal) -> ResponseReturnValue:
    """All lines that the filters match."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # the proxy is empty while we stream
    portal_id, view = portal.id, read_view(request.args)
    record_export(portal_id, view)
    chunks = csv_chunks(app, portal_id, view)
    # The first chunk is read now, so that a database error is still answered with an error page.
    first = next(chunks)
    return Response(
        chain([first], chunks),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{FILE_NAME}-{now():%Y-%m-%d}.csv"'},
    )
