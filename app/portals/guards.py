"""Who may see or change what in a portal. Every route below `/portals/<portal_id>` goes through `portal_view`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from flask import g, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.accounts.current import is_handed_over_elsewhere, signed_in_user
from app.core.errors import Forbidden, NotFound
from app.extensions import login
from app.models import Role
from app.portals.service import find_membership
from app.web.responses import current_page, embedding, wants_fragment

_MAY_VIEW = {Role.CLIENT_ADMIN, Role.STAFF}
_MAY_CHANGE = {Role.CLIENT_ADMIN}


def _verify_first() -> ResponseReturnValue:
    if not wants_fragment():
        return redirect(url_for("registration.verify_notice"))
    # Never a whole page inside a table. The page around an embedded fragment is not ours to leave.
    return "", 401, {} if embedding() else {"HX-Redirect": url_for("registration.verify_notice", next=current_page())}


def portal_view(*, change: bool) -> Callable[[Callable[..., ResponseReturnValue]], Callable[..., ResponseReturnValue]]:
    """Guard a view of a portal; it is then called with the `Portal` in place of `portal_id`.

    `change=True` lets client admins in, `change=False` staff too. Without a session: sign in. With no membership, or
    for a page with a session that was handed over for another portal: the same 404 as for a portal that does not
    exist. With too small a role: 403.
    """
    allowed = _MAY_CHANGE if change else _MAY_VIEW

    def decorate(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
        @wraps(view)
        def guarded(portal_id: str, **kwargs: Any) -> ResponseReturnValue:
            user = signed_in_user()
            if user is None:
                # A fragment may be asked for by a page of the shell, which has them handed over for this portal, too.
                if is_handed_over_elsewhere() and not wants_fragment():
                    raise NotFound
                return cast(ResponseReturnValue, login.unauthorized())
            membership = find_membership(portal_id, user.id)
            if membership is None:
                raise NotFound
            if membership.role not in allowed:
                raise Forbidden(
                    _("Only client admins of this portal may do this. Ask one of them to do it or to change your role.")
                )
            if not user.is_let_into(portal_id):
                return _verify_first()
            g.may_change = membership.role in _MAY_CHANGE
            return view(membership.portal, **kwargs)

        guarded.portal_guard = "change" if change else "view"  # type: ignore[attr-defined]
        return guarded

    return decorate
