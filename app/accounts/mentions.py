"""Where people's own words name somebody who is erased: messages of invitations, and names of files."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, true, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute

from app.core.text import fold
from app.db.transactions import transaction
from app.extensions import db
from app.models import ClientEvent, ClientImport, EventKind, ImportedClient, OutboxMail
from app.models.client_import import NO_FILE_NAME

_BATCH = 500
_MESSAGE = OutboxMail.params["message"].as_string()


@dataclass(frozen=True)
class Person:
    """Somebody to erase: every address and every account that are theirs."""

    emails: frozenset[str]
    user_ids: frozenset[int]


def mentions_of(person: Person, names: Collection[str]) -> re.Pattern[str]:
    """What finds one of the person's addresses, or one of the names, in a folded text (`app.core.text.fold`)."""
    # An address ends where a longer one does not go on.
    words = "|".join(re.escape(fold(word)) for word in (*person.emails, *names) if word)
    return re.compile(rf"(?<![\w.+-])(?:{words})(?![\w-])")


def forget_messages(mentions: re.Pattern[str], portal_id: str | None = None) -> None:
    """Delete the messages of invitations that mention somebody, in the table, in histories and in mails.

    In one portal, or in all. Mails that wait go out without their message. In batches, one transaction each.
    """
    for column in (ImportedClient.message, ClientEvent.detail):
        _empty(column, mentions, portal_id, {column.key: None})
    _forget_in_mails(mentions, portal_id)


def forget_file_names(mentions: re.Pattern[str]) -> None:
    """Empty the names of imported files that mention somebody, in every portal. In batches, as above."""
    _empty(
        ClientImport.file_name,
        mentions,
        None,
        {"file_name": NO_FILE_NAME, "file_name_folded": fold(NO_FILE_NAME)},
    )


def _texts(text: ColumnElement[Any], mentions: re.Pattern[str], portal_id: str | None, model: Any) -> Sequence[str]:
    """The different texts of a column that mention the person: an import writes the same message to many clients."""
    different = select(text).where(text.is_not(None), _looked_at(model, portal_id)).distinct()
    return [one for one in db.session.scalars(different).all() if mentions.search(fold(one))]


def _empty(
    column: InstrumentedAttribute[Any], mentions: re.Pattern[str], portal_id: str | None, values: dict[str, Any]
) -> None:
    model = column.class_
    key = list(model.__table__.primary_key)
    for text in _texts(column.expression, mentions, portal_id, model):
        some = select(*key).where(column == text, _looked_at(model, portal_id)).order_by(*key).limit(_BATCH)
        found = None
        while found is None or len(found) == _BATCH:
            with transaction() as session:
                found = [tuple(row) for row in session.execute(some.with_for_update())]
                session.execute(
                    update(model)
                    .where(tuple_(*key).in_(found))
                    .values(values)
                    .execution_options(synchronize_session=False)
                )


def _forget_in_mails(mentions: re.Pattern[str], portal_id: str | None) -> None:
    for text in _texts(_MESSAGE, mentions, portal_id, OutboxMail):
        some = select(OutboxMail).where(text == _MESSAGE, _looked_at(OutboxMail, portal_id))
        mails = None
        while mails is None or len(mails) == _BATCH:
            with transaction() as session:
                mails = session.scalars(some.order_by(OutboxMail.id).limit(_BATCH).with_for_update()).all()
                for mail in mails:
                    mail.params = {name: value for name, value in mail.params.items() if name != "message"}


def _looked_at(model: Any, portal_id: str | None) -> ColumnElement[bool]:
    """The rows to look at. Of events those with messages: words of mail servers may hold a name by chance."""
    is_there = true() if portal_id is None else model.portal_id == portal_id
    return is_there & (ClientEvent.kind == EventKind.INVITED) if model is ClientEvent else is_there
