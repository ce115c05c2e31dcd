"""Bulk Invite: the template and the upload dialog."""

from __future__ import annotations

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from app.importing.csv_file import TEMPLATE
from app.models import Portal
from app.portals.guards import portal_view

bp = Blueprint("importing", __name__, url_prefix="/portals/<portal_id>/settings/accounts/imported-clients")


@bp.get("/template.csv")
@portal_view(change=False)
def template(portal: Portal) -> ResponseReturnValue:
    return Response(
        TEMPLATE,
        mimetype="text/csv",
        headers={"Content-Disposition": 'attachment; filename="imported-clients-template.csv"'},
    )
