"""The tab Imported Clients as its reader may see it: for our own page, and for inside another one."""

from __future__ import annotations

from time import monotonic

from flask import g, render_template, request
from flask_babel import get_locale
from flask_wtf.csrf import generate_csrf

from app.clients.queries import count_clients, fingerprint, glance, nearest_page, waiting_mails
from app.clients.remembered import CSRF_MARK, RenderedTable, TableKey, newest_event, remembered_tables
from app.clients.view import TableView
from app.importing.queries import recent_imports
from app.models import Portal
from app.outbox.servers import route_of, sends_account_mails
from app.web import embedding


def tab_context(portal: Portal, view: TableView) -> dict[str, object]:
    """What the templates of the tab need."""
    return {
        "portal": portal,
        "view": view,
        "table": rendered_table(portal, view).html_for(generate_csrf()),
        "imports": recent_imports(portal.id),
        "may_change": g.may_change,
        **_mail_state(portal),
    }


def rendered_table(portal: Portal, view: TableView) -> RenderedTable:
    """The table as this person may see it: as it was rendered a moment ago, if it still holds, else rendered anew."""
    tables = remembered_tables()
    key = TableKey(
        portal.id, view, view.cursor, g.may_change, str(get_locale()), request.script_root, str(embedding() or "")
    )
    read_at = monotonic()
    event, is_settled = newest_event(portal.id)
    found = tables.get(key, event) if is_settled else None
    if found is None:
        found = _render_table(portal, view)
        if is_settled:
            tables.put(key, event, read_at, found)
    return found


def _render_table(portal: Portal, view: TableView) -> RenderedTable:
    page = nearest_page(portal.id, view)
    count = count_clients(portal.id, view, page)
    numbers = glance(portal.id)
    sign = fingerprint(page, count, numbers)
    html = render_template(
        "clients/_table.html",
        portal=portal,
        view=view,
        page=page,
        count=count,
        glance=numbers,
        fingerprint=sign,
        may_change=g.may_change,
        csrf_mark=CSRF_MARK,
    )
    return RenderedTable(html, sign)


def _mail_state(portal: Portal) -> dict[str, object]:
    is_set_up = route_of(portal.id) is not None
    return {
        "mail_is_set_up": is_set_up,
        "waiting": 0 if is_set_up else waiting_mails(portal.id),
        "sends_account_mails": sends_account_mails(),
    }
