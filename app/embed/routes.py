"""What stands inside pages of the host shell: one fragment a surface, the page for a frame, and the loader."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, render_template, request
from flask.typing import ResponseReturnValue

from app.clients.tab import asked_view, tab_context
from app.embed.service import origins_of
from app.embed.surfaces import Embedding, Surface, Way
from app.models import Portal
from app.portals.guards import portal_view
from app.web.responses import be_embedded, framed_by

bp = Blueprint("embed", __name__)

LOADER_SECONDS = 300
"""How long browsers keep the loader: its address is written into other people's pages and never changes."""


@bp.get("/embed/loader.js")
def loader() -> Response:
    return _script("embed-loader.js")


@bp.get("/embed/shell.js")
def shell() -> Response:
    """What the loader fetches where the surface stands in a frame."""
    return _script("embed-shell.js")


@bp.get("/portals/<portal_id>/embed/tab")
@portal_view(change=False)
def tab(portal: Portal) -> ResponseReturnValue:
    return _fragment(portal, Surface.TAB)


@bp.get("/portals/<portal_id>/embed/table")
@portal_view(change=False)
def table(portal: Portal) -> ResponseReturnValue:
    return _fragment(portal, Surface.TABLE)


@bp.get("/portals/<portal_id>/embed/frame")
@portal_view(change=False)
def frame(portal: Portal) -> ResponseReturnValue:
    """The surface that `surface` names, else the tab, as a page that the portal's shells alone may frame."""
    surface = Surface.TABLE if request.args.get("surface") == Surface.TABLE else Surface.TAB
    be_embedded(Embedding(surface, Way.FRAME))
    origins = origins_of(portal.id)
    return framed_by(render_template("embed/frame.html", origins=origins, **_context(portal)), origins)


def _script(file_name: str) -> Response:
    response = current_app.send_static_file(file_name)
    response.cache_control.max_age = LOADER_SECONDS
    return response


def _fragment(portal: Portal, surface: Surface) -> str:
    be_embedded(Embedding(surface, Way.INLINE))
    return render_template("embed/_fragment.html", **_context(portal))


def _context(portal: Portal) -> dict[str, object]:
    return tab_context(portal, asked_view())
