"""The guards: who may see or change a portal. Every route below `/portals/<portal_id>` uses `portal_view`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from flask import flash, g, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import is_handed_over_elsewhere, signed_in_user
from app.accounts.last_seen import note_seen, seen_member, seen_session
from app.accounts.own_account import SessionEnded
from app.core.clock import now
from app.core.errors import Forbidden, NotFound
from app.extensions import login
from app.models import Role
from app.portals.required_factor import due_of
from app.portals.service import find_membership
from app.web.responses import alert, current_page, embedding, wants_fragment

_MAY_VIEW = {Role.CLIENT_ADMIN, Role.STAFF}
_MAY_CHANGE = {Role.CLIENT_ADMIN}


def _verify_first() -> ResponseReturnValue:
    if not wants_fragment():
        return redirect(url_for("registration.verify_notice"))
    # A fragment must not be replaced by a whole page, and we cannot navigate a host shell's page.
    return "", 401, {} if embedding() else {"HX-Redirect": url_for("registration.verify_notice", next=current_page())}


def _set_up_first(portal_name: str) -> ResponseReturnValue:
    message = _("%(portal)s requires a second factor of its team. Set one up to go on.", portal=portal_name)
    if wants_fragment() and embedding():
        return alert(message, 403)  # we cannot navigate a host shell's page
    flash(message)
    address = url_for("own_factors.show")
    return ("", 403, {"HX-Redirect": address}) if wants_fragment() else redirect(address, 303)


def portal_view(*, change: bool) -> Callable[[Callable[..., ResponseReturnValue]], Callable[..., ResponseReturnValue]]:
    """Guard a view of a portal. The view is called with the `Portal` in place of `portal_id`.

    `change=True` admits client admins; `change=False` admits staff as well. Without a session, the user must sign in.
    Without a membership, or for a page opened with a session handed over for another portal, the answer is the same 404
    as for a portal that does not exist. With too low a role, it is 403. Whoever is late with the second factor that the
    portal requires is led to setting one up.
    """
    allowed = _MAY_CHANGE if change else _MAY_VIEW

    def decorate(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
        @wraps(view)
        def guarded(portal_id: str, **kwargs: Any) -> ResponseReturnValue:
            user = signed_in_user()
            if user is None:
                # For a fragment we answer 401: the shell's page can have the person handed over for this portal, too.
                if is_handed_over_elsewhere() and not wants_fragment():
                    raise NotFound
                return cast(ResponseReturnValue, login.unauthorized())
            membership = find_membership(portal_id, user.id)
            if membership is None:
                raise NotFound
            if membership.role not in allowed:
                raise Forbidden(
                    _("Only client admins of this portal can do this. Ask one of them to do it or to change your role.")
                )
            if not user.is_let_into(portal_id):
                return _verify_first()
            due = due_of(user, membership)
            if due is not None and now() >= due:
                return _set_up_first(membership.portal.name)
            g.second_factor_due = due
            g.may_change = membership.role in _MAY_CHANGE
            seen = seen_member(membership), seen_session(user)
            try:
                response = view(membership.portal, **kwargs)
            except SessionEnded:
                return cast(ResponseReturnValue, login.unauthorized())
            note_seen(*seen)
            return response

        guarded.portal_guard = "change" if change else "view"  # type: ignore[attr-defined]
        guarded.needs_session = True  # type: ignore[attr-defined]
        return guarded

    return decorate
