"""Showing a passkey before a form with a password is filled in: no page between can carry such a form."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.accounts.current import passkey_browser, the_user
from app.accounts.guards import Owner, of_owner
from app.accounts.security.guards import ask, stepped_up
from app.accounts.security.passkey_proof import second_step_options
from app.accounts.security.relying_party import relying_party
from app.accounts.security.step_up import needs_step_up
from app.core.errors import NotFound
from app.web.responses import local_path

bp = Blueprint("step_up", __name__, url_prefix="/account/confirm")


@bp.get("")
@of_owner
def show(owner: Owner) -> ResponseReturnValue:
    return ask(200) if needs_step_up(the_user()) else _go_on()


@bp.post("")
@of_owner
@stepped_up
def confirmed(owner: Owner) -> ResponseReturnValue:
    return _go_on()


@bp.post("/options")
@of_owner
def options(owner: Owner) -> ResponseReturnValue:
    """What the browser needs to ask for a passkey of this account."""
    site = relying_party()
    if site is None:
        raise NotFound
    text = second_step_options(owner.user_id, site, passkey_browser())
    return make_response(text, {"Content-Type": "application/json"})


def _go_on() -> Response:
    return make_response(redirect(local_path(request.args.get("next")) or url_for("account.show"), 303))
