"""Responses for pages of the host shell: a fragment per surface, the frame page, and the loader script."""

from __future__ import annotations

import json

from babel import Locale
from flask import Blueprint, Response, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _

from app.accounts.current import signed_in_user
from app.clients.tab import asked_view, tab_context
from app.embed.service import origins_of
from app.embed.surfaces import Embedding, Surface, Way
from app.models import Portal
from app.portals.guards import portal_view
from app.web.responses import be_embedded, framed_by

bp = Blueprint("embed", __name__)

ANY_SITE = ("*",)

LOADER_SECONDS = 300
"""How long browsers cache the loader. Its URL is in other people's pages and never changes, so we cannot version it."""


@bp.before_request
def _say_that_no_session_came() -> ResponseReturnValue | None:
    """In a frame, a browser that sends no session would refuse to show our sign-in page, and would not say why.

    Any site may frame this answer, because it holds nothing and because without a session nobody may know which sites
    a portal has registered.
    """
    is_in_frame = request.endpoint == "embed.frame" and request.headers.get("Sec-Fetch-Dest") == "iframe"
    if not is_in_frame or signed_in_user():
        return None
    return framed_by(render_template("embed/no_session.html"), ANY_SITE), 401


@bp.get("/embed/loader.js")
def loader() -> Response:
    """The loader, with what it says in the browser's language."""
    script = _script("embed-loader.js")
    script.direct_passthrough = False
    script.set_data(f"globalThis.importedClientsWords = {json.dumps(_words())};\n{script.get_data(as_text=True)}")
    script.add_etag(overwrite=True)
    script.vary.add("Accept-Language")
    return script


@bp.get("/embed/shell.js")
def shell() -> Response:
    """The script that the loader fetches if the surface is in a frame."""
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
    """A page with the surface named by `surface` (by default the tab). Only the portal's shells may frame it."""
    surface = Surface.TABLE if request.args.get("surface") == Surface.TABLE else Surface.TAB
    be_embedded(Embedding(surface, Way.FRAME))
    origins = origins_of(portal.id)
    return framed_by(render_template("embed/frame.html", origins=origins, **_context(portal)), origins)


def _words() -> dict[str, str]:
    locale = get_locale() or Locale("en")
    return {
        "lang": locale.language,
        "dir": locale.text_direction,
        "failed": _("Imported Clients cannot be shown just now."),
        "ended": _("Your session has ended. Reload the page, or sign in again."),
        "notFramed": _(
            "Imported Clients can't be shown here. You may not have access, or this site isn't on the list of allowed"
            " sites (Settings, Embedding)."
        ),
        "noSession": _("Your browser doesn't keep a session for Imported Clients inside this page."),
        "open": _("Open in a new window"),
    }


def _script(file_name: str) -> Response:
    response = current_app.send_static_file(file_name)
    response.cache_control.max_age = LOADER_SECONDS
    return response


def _fragment(portal: Portal, surface: Surface) -> str:
    be_embedded(Embedding(surface, Way.INLINE))
    return render_template("embed/_fragment.html", **_context(portal))


def _context(portal: Portal) -> dict[str, object]:
    return tab_context(portal, asked_view(portal))
