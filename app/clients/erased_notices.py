"""Takes erased clients out of the mails that tell client admins about them, whether they are sent or still wait."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import delete, or_, select, update

from app.extensions import db
from app.models import ClientEvent, EventKind, MailKind, OutboxMail

_LISTS = ("joined", "lapsed")


def forget_in_notices(
    portal_id: str, client_ids: Collection[UUID], emails: Collection[str], names: Collection[str]
) -> None:
    """Delete the notices about these clients, and take the clients out of digests, in the caller's transaction.

    A digest that told of nobody else is deleted. `names` are the companies', for digests that hold no ids.
    """
    joined = select(ClientEvent.id).where(
        ClientEvent.portal_id == portal_id,
        ClientEvent.client_id.in_(client_ids),
        ClientEvent.kind == EventKind.JOINED,
    )
    is_about = or_(
        # The generation of a notice is the id of its event.
        OutboxMail.generation.in_(joined),
        OutboxMail.params["client_email"].as_string().in_(emails),
    )
    db.session.execute(
        delete(OutboxMail)
        .where(OutboxMail.portal_id == portal_id, OutboxMail.kind == MailKind.JOIN_NOTICE, is_about)
        .execution_options(synchronize_session=False)
    )
    digests = (
        select(OutboxMail.id, OutboxMail.params)
        .where(OutboxMail.portal_id == portal_id, OutboxMail.kind == MailKind.JOIN_DIGEST)
        .order_by(OutboxMail.id)
        .with_for_update()
    )
    for mail_id, params in db.session.execute(digests).all():
        left = _without(params, {one.hex for one in client_ids}, set(names))
        if left == params:
            continue
        is_it = OutboxMail.id == mail_id
        is_empty = all(left[f"{what}_number"] == "0" for what in _LISTS)
        change = delete(OutboxMail).where(is_it) if is_empty else update(OutboxMail).where(is_it).values(params=left)
        db.session.execute(change.execution_options(synchronize_session=False))


def _without(params: Mapping[str, str], ids: Collection[str], names: Collection[str]) -> dict[str, str]:
    left = dict(params)
    for what in _LISTS:
        listed = params[what].splitlines()
        keys = params.get(f"{what}_ids", "").split()
        if len(keys) == len(listed):
            kept = [(name, key) for name, key in zip(listed, keys, strict=True) if key not in ids]
        else:  # of a version that wrote no ids
            kept = [(name, "") for name in listed if name not in names]
        if len(kept) < len(listed):
            left[what] = "\n".join(name for name, _key in kept)
            left[f"{what}_ids"] = " ".join(key for _name, key in kept if key)
            left[f"{what}_number"] = str(int(params[f"{what}_number"]) - len(listed) + len(kept))
    return left
