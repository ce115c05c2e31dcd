"""How a view answers: with a fragment for htmx, and with a redirect or a whole page for any other request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import Response, current_app, flash, g, make_response, redirect, render_template, request

from app.core.errors import TooManyRequests
from app.core.text import path_of_url
from app.embed.surfaces import Embedding
from app.web.content_policy import FRAMED_PAGE_POLICY, MAIL_POLICY, OUR_OWN_FILES

CLIENTS_CHANGED = "clients-changed"
"""Sent with an answer that makes the Imported Clients table out of date. The table then fetches itself."""
DIALOG_CLOSE = "dialog-close"
SELECTION_DONE = "selection-done"
"""Sent when an action on the selected rows is done. The selection is then cleared."""
NAVIGATE = "imported-clients:navigate"
"""Sent to the host shell when somebody opens another part of the table. `view` is the query string for it."""

_DRAIN_BYTES = 32 * 1024 * 1024

_INSIDE_DIALOG = {"dialog-content", "import-result"}


def wants_fragment() -> bool:
    """Whether htmx asks for a part of a page. When htmx restores its history, it asks for a whole page."""
    return request.headers.get("HX-Request") == "true" and "HX-History-Restore-Request" not in request.headers


def embedding() -> Embedding | None:
    """Which part of us the request is for, if it comes from inside a page of the host shell. Our script there tells."""
    told: Embedding | None = g.get("embedding")
    return told or Embedding.read(request.headers.get("X-Embedded", ""))


def be_embedded(embedding: Embedding) -> None:
    """Answer the rest of the request as if it came from inside a page of the host shell."""
    g.embedding = embedding


def is_from_another_site() -> bool:
    """Whether a page of another site caused the request, as far as the browser says."""
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        return True
    origin = request.headers.get("Origin")
    ours = {request.host, urlsplit(current_app.config["PUBLIC_BASE_URL"]).netloc}
    return origin is not None and origin.partition("://")[2] not in ours


def succeeded(location: str, *events: str) -> Response:
    """The answer to a successful action: events for htmx, else a redirect (303) to the page that shows the result."""
    if not wants_fragment():
        return make_response(redirect(location, 303))
    response = make_response("")
    response.headers["HX-Reswap"] = "none"
    response.headers["HX-Trigger"] = _events(events)
    return response


def succeeded_with_notice(message: str, location: str, *events: str) -> Response:
    """Like `succeeded`, with a sentence on the page that says what was done."""
    if not wants_fragment():
        flash(message)
        return make_response(redirect(location, 303))
    response = make_response(render_template("_notice.html", message=message))
    response.headers["HX-Retarget"] = "#page-status"
    response.headers["HX-Reswap"] = "innerHTML"
    response.headers["HX-Trigger"] = _events(events)
    return response


def alert(message: str, status: int, *events: str) -> Response:
    """A sentence for htmx to show near the action: in the dialog if the request came from there, else on the page.

    Nothing else is swapped, so what the person typed stays.
    """
    response = make_response(render_template("_alert.html", message=message), status)
    response.headers["HX-Retarget"] = "#dialog-alert" if _is_asked_in_dialog() else "#page-alert"
    response.headers["HX-Reswap"] = "innerHTML"
    if events:
        response.headers["HX-Trigger"] = _events(events)
    return response


def dialog(template: str, status: int = 200, **context: object) -> Response:
    """A dialog's content for htmx. Without JavaScript, the same content as a page of its own."""
    if wants_fragment():
        return make_response(render_template(template, **context), status)
    return make_response(render_template("clients/dialog_page.html", content=template, **context), status)


def opening_dialog(response: Response) -> Response:
    """Show a dialog's content, although the request came from elsewhere on the page."""
    response.headers["HX-Retarget"] = "#dialog-content"
    response.headers["HX-Reswap"] = "innerHTML"
    return response


def shown_mail(html: str, shells: Sequence[str] = ()) -> Response:
    """The HTML of a mail as a separate document, for a frame of our own page.

    `shells`: the origins of the pages that may show ours in a frame.
    """
    response = make_response(html)
    response.headers["Content-Security-Policy"] = MAIL_POLICY.format(ancestors=" ".join(("'self'", *shells)))
    return response


def own_frame(page: str) -> Response:
    """One of our pages, for a frame in another of our pages. In it nothing runs and nothing can be sent."""
    response = make_response(page)
    response.headers["Content-Security-Policy"] = FRAMED_PAGE_POLICY
    return response


def framed_by(page: str, origins: Sequence[str]) -> Response:
    """One of our pages, for a frame in a page of one of these origins. Without origins no page may frame it."""
    response = make_response(page)
    ancestors = " ".join(origins) or "'none'"
    response.headers["Content-Security-Policy"] = f"{OUR_OWN_FILES}; frame-ancestors {ancestors}"
    return response


def drain_request() -> None:
    """Read and drop what the browser still sends, because it reads no answer before it has sent everything."""
    left = min(request.content_length or 0, _DRAIN_BYTES)
    stream = request.environ["wsgi.input"]
    while left > 0 and (chunk := stream.read(min(left, 64 * 1024))):
        left -= len(chunk)


def with_view(response: Response, location: str, *, replaces: bool = False) -> Response:
    """Put the shown part of the table into the page's address. Inside another page, send an event with it instead.

    `replaces`: it takes the place of the address that is there, so that Back leads to the one before.
    """
    if embedding() is None:
        response.headers["HX-Replace-Url" if replaces else "HX-Push-Url"] = location
    else:
        query = urlsplit(location).query
        response.headers["HX-Trigger"] = json.dumps({NAVIGATE: {"view": f"?{query}" if query else ""}})
    return response


def with_retry_after(response: Response, problem: TooManyRequests) -> Response:
    """Set the header that says when to try again (429)."""
    response.headers["Retry-After"] = str(int(problem.retry_after.total_seconds()) + 1)
    return response


def local_path(target: str | None) -> str | None:
    """The path and query of one of our own pages, or None. It can never lead to another site."""
    if not target or not target.startswith("/") or target.startswith("//"):
        return None
    if "\\" in target or any(ord(c) < 0x20 for c in target):
        return None
    parts = urlsplit(target)
    return None if parts.scheme or parts.netloc else target


def current_page() -> str | None:
    """The page that the browser shows, according to htmx, as a local path."""
    return local_path(path_of_url(request.headers.get("HX-Current-URL", "")))


def page_of_form() -> str | None:
    """The page with the form that was posted without htmx, as a local path."""
    return local_path(path_of_url(request.headers.get("Referer", ""))) if request.method == "POST" else None


def is_refresh() -> bool:
    """Whether a part of a page asks for itself, for example because something has changed."""
    return request.method == "GET" and _target_id() not in {"", "dialog-content", "panel-content"}


def _is_asked_in_dialog() -> bool:
    # A GET comes from the page, to open the dialog.
    return request.method != "GET" and _target_id() in _INSIDE_DIALOG


def _target_id() -> str:
    # htmx 2 sends only the target's id, htmx 4 sends tag#id.
    return request.headers.get("HX-Target", "").rpartition("#")[2]


def _events(names: tuple[str, ...]) -> str:
    return json.dumps(dict.fromkeys(names, True))
