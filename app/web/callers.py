"""Tells services who makes a request, from where, and in which browser. They never see the request."""

from __future__ import annotations

from flask import Flask, request
from sqlalchemy import inspect

from app.accounts.current import known_user
from app.audit.caller import NOBODY, Actor, Caller, neighbourhood, set_caller
from app.models import ActorKind


def init_app(app: Flask) -> None:
    """Set the caller of each request."""
    app.before_request(_begin)
    app.teardown_request(_end)


def _begin() -> None:
    set_caller(Caller(_actor, neighbourhood(request.remote_addr), request.user_agent.string))


def _end(_error: BaseException | None) -> None:
    set_caller(None)


def _actor() -> Actor:
    """Who is signed in, if a guard has asked by now."""
    user = known_user()
    if user is None:
        return NOBODY
    # Not the attribute: a transaction makes the session forget it, and the account may just be going.
    user_id = (inspect(user).identity or (None,))[0]
    return Actor(ActorKind.PERSON if user.handed_over_to is None else ActorKind.SHELL, user_id)
