"""Tells services who makes a request, from where, and in which browser. They never see the request."""

from __future__ import annotations

from flask import Flask, request

from app.accounts.current import known_user_id, signed_in_user
from app.audit.caller import NOBODY, Actor, Caller, neighbourhood, set_caller
from app.models import ActorKind
from app.web.locale import asked_for


def init_app(app: Flask) -> None:
    """Set the caller of each request."""
    app.before_request(_begin)
    app.teardown_request(_end)


def _begin() -> None:
    set_caller(Caller(_actor, neighbourhood(request.remote_addr), request.user_agent.string, asked_for()))


def _end(_error: BaseException | None) -> None:
    set_caller(None)


def _actor() -> Actor:
    """Who is signed in, if a guard has asked by now."""
    user_id = known_user_id()
    user = signed_in_user() if user_id is not None else None
    if user is None:
        return NOBODY
    return Actor(ActorKind.PERSON if user.handed_over_to is None else ActorKind.SHELL, user_id)
