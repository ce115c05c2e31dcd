"""The job read-bounces: reads the reports in the bounce mailbox, over IMAP.

Each message is looked at once: the highest UID so far is kept in the table `bounce_mailbox`. Reports on our mails are
deleted once they are recorded, since they hold working links. All else stays as it is, unseen, for people to read.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic

from flask import current_app
from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError

from app.bounces.report import READ_BYTES
from app.bounces.service import ingest
from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.models import BounceMailbox
from app.net.dialer import tls_context
from app.outbox.errors import fit_to_tell
from app.queue import sending
from config import Settings
from config_values import BounceMailbox as Address

log = logging.getLogger(__name__)

_TIMEOUT = SocketTimeout(connect=10, read=30)
_LONGEST_RUN_SECONDS = 120
"""A run then ends, and the next one goes on. Well within the job's lease."""


class MailboxAway(Exception):
    """The mailbox cannot be read now. The message says why, and holds no password."""


def read_bounces(stop: Event) -> None:
    """Read what came since the last time, until `stop` is set. Do nothing without a mailbox, or if nothing is sent.

    A copy would take the reports on its original's mails.

    A mailbox that cannot be read is noted for `check` and the metrics, and logged when that begins and ends.
    """
    address = _address()
    if address is None or not sending.may_send():
        return
    try:
        with _opened(address) as client:
            _read_new(client, address, stop)
    except MailboxAway as error:
        _note_failure(address, str(error))
    else:
        _note_success(address)


def try_out() -> None:
    """Open the mailbox of the settings and change nothing. Raises `MailboxAway` if it cannot be read now."""
    if (address := _address()) is not None:
        with _opened(address) as client, _telling(address):
            client.select_folder(address.folder)


def mailbox_state() -> BounceMailbox | None:
    """What the job last noted about the mailbox of the settings. None if it has never tried, or there is none."""
    address = _address()
    return db.session.get(BounceMailbox, _name(address)) if address else None


def seconds_failing() -> float:
    """For how long the mailbox could not be read; 0 if it could."""
    state = mailbox_state()
    if state is None or state.failing_since is None:
        return 0.0
    return max(0.0, (now() - state.failing_since).total_seconds())


def _address() -> Address | None:
    settings: Settings = current_app.config["SETTINGS"]
    return settings.bounce_mailbox


# Over IMAP


@contextmanager
def _opened(address: Address) -> Iterator[IMAPClient]:
    """The mailbox, with its folder selected. Raises `MailboxAway` for whatever the server or the network does."""
    client = None
    with _telling(address):
        context = tls_context(None) if address.is_encrypted else None
        client = IMAPClient(address.host, address.port, ssl=address.is_encrypted, ssl_context=context, timeout=_TIMEOUT)
    try:
        with _telling(address):
            _sign_in(client, address)
        yield client
    finally:
        with suppress(OSError, IMAPClientError):
            client.logout()


def _sign_in(client: IMAPClient, address: Address) -> None:
    # LOGIN takes ASCII only (RFC 3501, 9). PLAIN takes any password (RFC 4616).
    is_ascii = address.username.isascii() and address.password.isascii()
    sign_in = client.login if is_ascii else client.plain_login
    sign_in(address.username, address.password)


@contextmanager
def _telling(address: Address) -> Iterator[None]:
    try:
        yield
    except (OSError, IMAPClientError, ValueError) as error:
        # A server may quote the command that it refuses.
        words = fit_to_tell(str(error).replace(address.password, "‹cut›"))
        raise MailboxAway(words or type(error).__name__) from None


def _read_new(client: IMAPClient, address: Address, stop: Event) -> None:
    with _telling(address):
        selected = client.select_folder(address.folder)
    begun = monotonic()
    validity = int(selected.get(b"UIDVALIDITY", 0))
    first = _first_uid(address, validity)
    with _telling(address):
        # "*" is the newest message, even if its UID is lower than the first.
        uids = sorted(uid for uid in client.search(["UID", f"{first}:*"]) if uid >= first)
    for uid in uids:
        if stop.is_set() or monotonic() - begun > _LONGEST_RUN_SECONDS:
            break
        with _telling(address):
            content = _content(client, uid)
        if content is not None and ingest(content).is_about_our_mail:
            with _telling(address):
                _delete(client, uid)
        _note_read(address, validity, uid)


def _content(client: IMAPClient, uid: int) -> bytes | None:
    """The beginning of a message, which stays unseen. None if somebody has deleted it meanwhile."""
    found = client.fetch([uid], [f"BODY.PEEK[]<0.{READ_BYTES}>"]).get(uid, {})
    return next((bytes(value) for name, value in found.items() if name.startswith(b"BODY[") and value), None)


def _delete(client: IMAPClient, uid: int) -> None:
    client.delete_messages([uid], silent=True)
    # Only this message, where the server can (RFC 4315): people may have marked others, which they can still restore.
    client.expunge([uid] if client.has_capability("UIDPLUS") else None)


# What is kept


def _name(address: Address) -> str:
    return hashlib.sha256(f"{address.username}\n{address.host}\n{address.folder}".encode()).hexdigest()


def _row(address: Address) -> BounceMailbox:
    row = db.session.get(BounceMailbox, _name(address), with_for_update=True)
    if row is None:
        row = BounceMailbox(name=_name(address), uid_validity=0, next_uid=1)
        db.session.add(row)
    return row


def _first_uid(address: Address, validity: int) -> int:
    state = mailbox_state()
    return state.next_uid if state is not None and state.uid_validity == validity else 1


def _note_read(address: Address, validity: int, uid: int) -> None:
    with transaction():
        row = _row(address)
        row.uid_validity, row.next_uid = validity, uid + 1


def _note_success(address: Address) -> None:
    with transaction():
        row = _row(address)
        has_failed = row.failing_since is not None
        row.read_at, row.failing_since, row.reason = now(), None, None
    if has_failed:
        log.info("the bounce mailbox can be read again")


def _note_failure(address: Address, reason: str) -> None:
    with transaction():
        row = _row(address)
        is_news = row.reason != reason
        row.failing_since, row.reason = row.failing_since or now(), reason
    if is_news:
        log.warning("the bounce mailbox cannot be read: %s", reason)
