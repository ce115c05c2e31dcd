"""Recording what is done in a portal. A line is added in the transaction of what it tells, or not at all.

Lines are never changed. Who they name stands beside them, in `AuditIdentity`: see `app.audit.identities`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import insert, literal, null

from app.audit.caller import Actor, present_caller
from app.audit.changes import redacted
from app.audit.identities import (
    Target,
    add_missing,
    address,
    client,
    identity_id,
    members,
    person,
    present_identity,
    thing,
)
from app.audit.words import FIELDS
from app.core.clock import now
from app.extensions import db
from app.models import ActorKind, AuditEvent, AuditKind, Membership

__all__ = ["AuditKind", "address", "client", "person", "record", "record_of_account", "thing"]


def record(
    portal_id: str,
    kind: AuditKind,
    *,
    target: Target | None = None,
    change: Mapping[str, object] | None = None,
    actor: Actor | None = None,
) -> None:
    """Add a line to a portal's audit trail, in the caller's transaction.

    Call it last: it flushes, and it locks the accounts that it names. `target` is `person(…)`, `client(…)`,
    `address(…)` or `thing(…)`. `change` maps names of fields (`app.audit.words.FIELDS`) to a value or to
    [old, new]; numbers, booleans and members of enums are kept, of any other text only that it was changed. `actor` is
    who makes the present call (`app.audit.caller`), unless it is given. Raises `ValueError` for an unknown field.
    """
    caller = present_caller()
    actor = actor or caller.actor()
    db.session.add(
        AuditEvent(
            portal_id=portal_id,
            kind=kind,
            actor=actor.kind,
            actor_id=identity_id(portal_id, person(actor.user_id)) if actor.user_id is not None else None,
            target_id=identity_id(portal_id, target) if target is not None else None,
            network=caller.network,
            change=_checked(change),
        )
    )


def record_of_account(
    user_id: int | None,
    kind: AuditKind,
    *,
    by_owner: bool = False,
    only_in: str | None = None,
    change: Mapping[str, object] | None = None,
) -> None:
    """Add a line about an account to the trail of each portal where it is client admin or staff, as `record` does.

    `by_owner`: whoever owns the account acts, as in signing in. Otherwise the account is the target of somebody who has
    no account, as an operator. `only_in`: the portal that a host shell has handed the owner over for. With `user_id`
    None the same statements run and add nothing, so that the time they take tells nobody whether an account exists.
    """
    caller = present_caller()
    roles = members(user_id, only_in)
    add_missing(roles)
    identity = present_identity()
    nobody = null()
    owner = ActorKind.PERSON if only_in is None else ActorKind.SHELL
    values = {
        "portal_id": Membership.portal_id,
        "at": literal(now(), AuditEvent.at.type),
        "kind": literal(kind, AuditEvent.kind.type),
        "actor": literal(owner if by_owner else caller.actor().kind, AuditEvent.actor.type),
        "actor_id": identity if by_owner else nobody,
        "target_id": nobody if by_owner else identity,
        "network": literal(caller.network, AuditEvent.network.type),
        "change": literal(_checked(change), AuditEvent.change.type),
    }
    lines = roles.with_only_columns(*values.values())
    db.session.execute(insert(AuditEvent).from_select(list(values), lines, include_defaults=False))


def _checked(change: Mapping[str, object] | None) -> dict[str, object]:
    """The change as it is kept. Only fields that have a word: so nothing gets in by mistake."""
    kept = redacted(change or {})
    if unknown := kept.keys() - FIELDS.keys():
        raise ValueError(f"no field of the audit trail: {', '.join(sorted(unknown))}")
    return kept
