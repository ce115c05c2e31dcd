"""The tab Imported Clients, as the signed-in user may see it: for our own page, and for embedding."""

from __future__ import annotations

from dataclasses import replace

from flask import g, render_template, request
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup

from app.accounts.current import the_user
from app.clients.counts import summary
from app.clients.list_params import TableView, read_view
from app.clients.list_queries import count_clients, first_position, nearest_page
from app.clients.polling import fingerprint, is_current, revision_of
from app.clients.retention import next_removal
from app.extensions import db
from app.imports.progress import recent_imports
from app.models import ClientImport, Portal
from app.outbox.enqueue import waiting_mails
from app.outbox.routing import route_of, sends_account_mails
from app.queue.sending import stopped


def asked_view(portal: Portal) -> TableView:
    """The view that this request asks for, in its URL or its form. An import that the portal has not is ignored."""
    view = read_view(request.values.to_dict(flat=False), the_user().id)
    if view.import_id is None:
        return view
    client_import = db.session.get(ClientImport, (portal.id, view.import_id))
    if client_import is None:
        return replace(view, import_id=None)
    return replace(view, import_name=client_import.file_name)


def tab_context(portal: Portal, view: TableView) -> dict[str, object]:
    """The variables of the tab's templates."""
    return {
        "portal": portal,
        "view": view,
        "table": table_html(portal, view),
        "imports": recent_imports(portal.id),
        "next_removal": next_removal(portal.id),
        "may_change": g.may_change,
        **_mail_state(portal),
    }


def table_html(portal: Portal, view: TableView, seen: str = "") -> Markup | None:
    """The table as this user may see it, or None if a page with the fingerprint `seen` already shows it."""
    revision = revision_of(portal.id, portal.name, view.asker_id, g.may_change)
    if is_current(seen, revision):
        return None
    html, is_live = _render_table(portal, view)
    # Each answer has another CSRF token, which must not change the fingerprint.
    sign = fingerprint(revision, html.replace(generate_csrf(), ""))
    if sign == seen:
        return None
    live = render_template(
        "clients/_live_table.html", portal=portal, view=view, content=html, fingerprint=sign, is_live=is_live
    )
    return Markup(live)  # noqa: S704 - rendered by our own template


def _render_table(portal: Portal, view: TableView) -> tuple[str, bool]:
    """The table's HTML, and whether something in it may change without an admin."""
    page = nearest_page(portal.id, view)
    numbers = summary(portal.id)
    count = count_clients(portal.id, view, page, numbers)
    html = render_template(
        "clients/_table.html",
        portal=portal,
        view=view,
        page=page,
        count=count,
        first=first_position(portal.id, page),
        summary=numbers,
        may_change=g.may_change,
    )
    return html, page.may_change_by_itself or numbers.waiting.found > 0


def _mail_state(portal: Portal) -> dict[str, object]:
    is_set_up = route_of(portal.id) is not None
    return {
        "stopped": stopped(),
        "mail_is_set_up": is_set_up,
        "waiting": 0 if is_set_up else waiting_mails(portal.id),
        "sends_account_mails": sends_account_mails(),
    }
