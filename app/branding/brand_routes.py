"""What pages of a portal load of its branding: its colour as a style sheet, and its logo. Open to everybody."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from app.branding.colours import ink_on, parsed_colour, readable_on
from app.core.errors import NotFound
from app.extensions import db
from app.models import Logo

bp = Blueprint("brand", __name__, url_prefix="/brand")

# The lightest and the darkest of our pages' grounds that writing in the accent colour stands on.
_LIGHT_GROUND = "#e8f1fa"
_DARK_GROUND = "#303c4a"


@bp.get("/<colour>.css")
def accent(colour: str) -> ResponseReturnValue:
    """An accent colour, in the shades that can be read in light and in dark. The same for ever at its address."""
    parsed = parsed_colour(colour)
    if parsed is None or parsed != f"#{colour}":
        raise NotFound
    on_light, on_dark = readable_on(_LIGHT_GROUND, parsed), readable_on(_DARK_GROUND, parsed)
    css = (
        "@layer imported-clients { .ic {"
        f" --brand: {parsed}; --on-brand: {ink_on(parsed)};"
        f" --accent: light-dark({on_light}, {on_dark});"
        f" --accent-hover: light-dark({on_light}, {on_dark});"
        f" --on-accent: light-dark({ink_on(on_light)}, {ink_on(on_dark)});"
        " } }\n"
    )
    return _for_ever(Response(css, content_type="text/css; charset=utf-8"))


@bp.get("/logos/<uuid:logo_id>.png")
def logo(logo_id: UUID) -> ResponseReturnValue:
    png = db.session.scalar(select(Logo.png).where(Logo.id == logo_id))
    if png is None:
        raise NotFound
    return _for_ever(Response(png, content_type="image/png"))


def _for_ever(response: Response) -> Response:
    response.cache_control.public = True
    response.cache_control.max_age = 365 * 24 * 60 * 60
    response.cache_control.immutable = True
    return response
