"""Turns every refusal and every failure into a page or a fragment, in one place for the whole application."""

from __future__ import annotations

import logging

from flask import Flask, Response, current_app, make_response, render_template, request
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as NoSuchRoute

from app.accounts.current import be_nobody, signed_in_user
from app.core.errors import DomainError, NotFound, TooManyRequests
from app.core.field_labels import FIELD_LABELS
from app.db.schema import OTHER_SCHEMA, trouble_of
from app.db.transactions import has_committed, is_in_doubt
from app.extensions import db, login
from app.observability import quiet
from app.web.responses import (
    CLIENTS_CHANGED,
    alert,
    is_from_another_site,
    is_refresh,
    page_of_form,
    wants_fragment,
    with_retry_after,
)

log = logging.getLogger(__name__)

# An error page never shows these fields.
_HIDDEN_FIELDS = {"code", "credential", "csrf_token", "next", "step_up_back", "step_up_code", "step_up_credential"}
_SECRET = "password"


def init_app(app: Flask) -> None:
    app.register_error_handler(DomainError, _problem)
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(NoSuchRoute, _not_found)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DBAPIError, _database)
    app.register_error_handler(Exception, _bug)


def _problem(problem: DomainError) -> Response:
    response = _answer(problem.status, problem.message)
    return with_retry_after(response, problem) if isinstance(problem, TooManyRequests) else response


def _not_found(_error: Exception) -> Response:
    """Answers with the same bytes whether the thing never existed, belongs to somebody else or is gone."""
    if wants_fragment():
        message = _("This no longer exists; someone may have removed it. The table has been refreshed.")
        # A list that was told so would ask again, for ever, once its reader has no access any more.
        return alert(message, 404, *([] if is_refresh() else [CLIENTS_CHANGED]))
    return make_response(render_template("errors/not_found.html"), 404)


def _csrf(_error: CSRFError) -> Response:
    if signed_in_user() is None and hasattr(current_app.view_functions[request.endpoint or ""], "needs_session"):
        # The session has ended, and its token with it. Signing in helps; reloading does not.
        return make_response(login.unauthorized())
    message = _(
        "Nothing was changed: this page is older than your session. Please reload the page with the form and try again."
    )
    response = _answer(400, message)
    if wants_fragment() and signed_in_user() is not None:
        # Our script asks whose session this is now, takes its token and repeats the request.
        response.headers["X-CSRF-Outdated"] = "true"
    return response


def _http(error: HTTPException) -> Response:
    if isinstance(error.response, Response):
        return error.response
    status = error.code or 500
    messages = {
        400: _("We couldn't understand the request. Nothing was changed; please go back and try again."),
        405: _("This page can't be opened directly. Go back and use its buttons."),
        408: _("The request took too long to arrive. Nothing was changed; please try again."),
        413: _("The upload is too large. Nothing was changed; please send a smaller one."),
    }
    response = _answer(status, messages.get(status, messages[400]))
    if status == 405:
        response.headers.extend(h for h in error.get_headers() if h[0] == "Allow")
    return response


def _database(error: DBAPIError) -> Response:
    """Answers 503 if the database is away, locked or full, or is being upgraded: this is temporary and not a bug."""
    db.session.rollback()
    trouble = trouble_of(error)
    if trouble is None:
        return _bug(error)
    quiet.warn("database", f"{trouble} ({type(error.orig).__name__})")
    be_nobody()  # Every template asks who is signed in, which would query the database.
    message = _("We can't reach the database right now. Nothing was changed; please try again in a minute.")
    if trouble == OTHER_SCHEMA:
        message = _("The service is being upgraded. Nothing was changed; please try again in a minute.")
    if is_in_doubt(error) or has_committed():
        message = _(
            "We lost the connection to the database while saving. Wait a minute, then check whether your change was "
            "saved before you try again."
        )
    response = _answer(503, message)
    response.headers["Retry-After"] = "30"
    return response


def _bug(error: Exception) -> Response:
    if current_app.debug or current_app.config.get("PROPAGATE_EXCEPTIONS"):
        raise error
    log.error("unexpected error", exc_info=error)
    message = _("Something went wrong on our side. Nothing was changed; please try again.")
    if has_committed():
        message = _("Something went wrong on our side. Check whether your change was saved before you try again.")
    return _answer(500, message)


def _answer(status: int, message: str) -> Response:
    if wants_fragment():
        # On a conflict, the table that the person sees is out of date.
        return alert(message, status, *([CLIENTS_CHANGED] if status == 409 else []))
    # Otherwise another site could make us show its words as ours.
    is_ours = not is_from_another_site()
    typed = _typed() if is_ours and status == 400 else {}
    came_from = page_of_form() if is_ours else None
    page = render_template("errors/problem.html", message=message, typed=typed, came_from=came_from)
    return make_response(page, status)


def _typed() -> dict[str, str]:
    """What the person typed, so that it is not lost. Keys are the labels of the fields, or else their names."""
    fields = request.form.lists()
    return {
        str(FIELD_LABELS.get(name, name)): ", ".join(texts)
        for name, texts in fields
        if name not in _HIDDEN_FIELDS and _SECRET not in name and any(texts)
    }
