"""Settings → Embedding: which host shells may show the portal, and the markup for their pages."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.embed.forms import ShellOriginsForm
from app.embed.service import origins_of, save_origins
from app.models import Portal
from app.portals.guards import portal_view
from app.web.responses import succeeded_with_notice

bp = Blueprint("shell_origins", __name__, url_prefix="/portals/<portal_id>/settings/embedding")


@bp.get("")
@portal_view(change=True)
def show(portal: Portal) -> ResponseReturnValue:
    return _page(portal, ShellOriginsForm(origins_of(portal.id)))


@bp.post("")
@portal_view(change=True)
def save(portal: Portal) -> ResponseReturnValue:
    form = ShellOriginsForm(origins_of(portal.id))
    if not form.validate():
        return _page(portal, form), 422
    here = url_for("shell_origins.show", portal_id=portal.id)
    save_origins(portal.id, form.cleaned())
    return succeeded_with_notice(_("Saved."), here)


def _page(portal: Portal, form: ShellOriginsForm) -> str:
    loader = f"{current_app.config['PUBLIC_BASE_URL']}/embed/loader.js"
    return render_template("settings/embedding.html", portal=portal, form=form, loader=loader)
