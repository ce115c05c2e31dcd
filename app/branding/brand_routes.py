"""What a portal's pages load of its branding: the colour as a style sheet, and the logo. Open to everybody."""

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

# The lightest and the darkest background of our pages that has text in the accent colour.
_LIGHT_GROUND = "#e8f1fa"
_DARK_GROUND = "#303c4a"


@bp.get("/<colour>.css")
def accent(colour: str) -> ResponseReturnValue:
    """An accent colour, in shades that are readable on light and on dark. The content at an address never changes."""
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
