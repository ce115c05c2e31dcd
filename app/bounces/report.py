"""Reads reports on mails: from the bytes of a message to what it says of which recipient. Uses no database.

Three forms are known: delivery status notifications (RFC 3464) in whatever multipart they come, complaints (RFC 5965),
and what servers that keep to no standard write (flufl.bounce). Whatever else comes is no report. Nothing in a report is
trusted but its form: `app.bounces.service` decides which mail it is about.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from enum import StrEnum
from functools import cached_property

from flufl.bounce import all_failures

from app.bounces import fields
from app.bounces.prose import line_naming

READ_BYTES = 1024 * 1024
"""So much of a message is parsed. What is beyond is the message that is returned, of which the headers are enough."""

_MOST_LINES = 50_000
_MOST_PARTS = 40
"""A message with more parts is no report, and lines beyond the limit are not parsed: the parser looks at each line once
for each part that it is in."""
_READ_BY_GUESSING = 64 * 1024
"""flufl.bounce tries dozens of patterns on every line."""
_COMPLAINTS = frozenset({"abuse", "fraud", "opt-out", "opt-out-list"})
"""The feedback types that come from the recipient. Others are a filter's, or say "not-spam" (RFC 6430)."""
_OUR_MESSAGE_ID = re.compile(r"(?<![\w.-])[0-9a-f]{32}@[\w.-]*\w", re.IGNORECASE)
_ARRIVED_AT = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to")
_FOR = re.compile(r"\sfor\s+(<?[^\s;]+>?)")

# It logs each pattern that it tries, and the text of a report would stand in its tracebacks.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)


class Action(StrEnum):
    """What a server did about a recipient, the most telling first."""

    FAILED = "failed"
    DELAYED = "delayed"
    OTHER = "other"
    """Delivered, relayed or expanded: nothing to tell."""


@dataclass(frozen=True)
class RecipientBlock:
    """What a report says of one recipient. `addresses`: the one that we named and the one that the server used."""

    addresses: frozenset[str]
    action: Action
    status: str | None = None
    code: str | None = None
    """The enhanced code (RFC 3463) that says why: of the Status, or of the server's words if that is x.0.0."""
    diagnostic: str | None = None


@dataclass(frozen=True)
class Finding:
    """What a report says of our recipient: the action, the server's words, and their enhanced code."""

    action: Action
    words: str
    code: str | None


@dataclass(frozen=True)
class Report:
    """A message that reports on a mail."""

    came_to: Sequence[str]
    """Texts with the addresses that it came to, and then those from which the mail was sent."""
    message_ids: Sequence[str]
    """What it quotes in the form of our Message-IDs, without angle brackets, the surest first."""
    recipients: Sequence[RecipientBlock] = ()
    prose: str = ""
    is_complaint: bool = False

    def about(self, *addresses: str) -> Finding | None:
        """What it says of a recipient, who has these addresses. None for a complaint, which has no recipient.

        The block that names the recipient decides, since it may report on several. Without one the first failed block
        does: the address may be an alias, whose target is all that the server knows.
        """
        ours = {address.lower() for address in addresses}
        named = [block for block in self.recipients if block.addresses & ours] or self.recipients
        order = list(Action)
        block = min(named, key=lambda one: order.index(one.action), default=None)
        if block is None:
            return None
        words = block.diagnostic or line_naming(self.prose, [*ours, *sorted(block.addresses)]) or block.status or ""
        code = fields.code_in(words) if fields.is_vague(block.code) else None
        return Finding(block.action, words, code or block.code)


def read_report(content: bytes) -> Report | None:
    """Read a message. Returns None if it is no report. Raises nothing, whatever it is given."""
    try:
        beginning = _beginning(content)
        is_bounded = beginning.lower().count(b"boundary=") <= _MOST_PARTS
        return _Reading(beginning).report() if is_bounded else None
    except Exception:
        # The email package and flufl.bounce were written for friendlier input. A message on which they fail is none
        # that a mail server writes. Its text is not logged: it holds addresses, and the link.
        return None


def _beginning(content: bytes) -> bytes:
    """What is parsed of a message, with LF at the end of each line."""
    lines = content[:READ_BYTES].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n", _MOST_LINES)
    return b"\n".join(lines[:_MOST_LINES])


class _Reading:
    """One message, taken apart."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        # Not the modern policy: it parses every header at once, some in quadratic time.
        self.message: Message = BytesParser(policy=compat32).parsebytes(content)

    def report(self) -> Report | None:
        if feedback := self._part("message/feedback-report"):
            return self._complaint(feedback)
        recipients = self._standard_blocks() or self._guessed_blocks()
        if not recipients:
            return None
        return Report(self._came_to(), self._message_ids(), recipients, self.prose)

    @cached_property
    def parts(self) -> list[Message]:
        """The parts of the report itself, and not those of the message that it returns."""
        return list(_own_parts(self.message))

    @cached_property
    def prose(self) -> str:
        """What it says to people."""
        return "\n".join(fields.text_of(part) for part in self.parts if part.get_content_type() == "text/plain")

    @cached_property
    def quoted(self) -> list[tuple[str, str]]:
        """The headers of the message that it returns."""
        found: list[tuple[str, str]] = []
        for part in self.parts:
            kind = part.get_content_type()
            if kind in {"message/rfc822", "message/global", "message/rfc822-headers", "message/global-headers"}:
                for inner in part.get_payload() if part.is_multipart() else ():
                    found += fields.headers_of(inner)  # type: ignore[arg-type]
            elif kind == "text/rfc822-headers":
                found += fields.headers_of(BytesParser(policy=compat32).parsebytes(fields.bytes_of(part), True))
        return found

    def _part(self, *kinds: str) -> Message | None:
        return next((part for part in self.parts if part.get_content_type() in kinds), None)

    # What it reports

    def _complaint(self, feedback: Message) -> Report | None:
        told = dict(fields.blocks_of(feedback)[0])
        if told.get("feedback-type", "").strip().lower() not in _COMPLAINTS:
            return None
        sender = told.get("original-mail-from", "")
        return Report([*self._came_to(), sender], self._message_ids(), prose=self.prose, is_complaint=True)

    def _standard_blocks(self) -> list[RecipientBlock]:
        status = self._part("message/delivery-status", "message/global-delivery-status")
        return [block for told in fields.blocks_of(status) if (block := _block(told))] if status else []

    def _guessed_blocks(self) -> list[RecipientBlock]:
        """What a server says that keeps to no standard. An automatic reply of a person's mailbox is no such report."""
        own = dict(fields.headers_of(self.message))
        is_reply = own.get("auto-submitted", "").lower().startswith("auto-replied") or "x-autoreply" in own
        if is_reply and "x-failed-recipients" not in own:  # which older Exims write, and no person's mailbox
            return []
        head: Message = BytesParser(policy=compat32).parsebytes(self.content[:_READ_BY_GUESSING])
        for part in _own_parts(head):
            if part.get_content_maintype() == "message":
                part.set_payload("")  # what is quoted reports on somebody else's mail, if on any
        delayed, failed = all_failures(head)
        return [
            RecipientBlock(frozenset({address.decode("ascii", "replace").lower()}), action)
            for action, addresses in ((Action.FAILED, failed), (Action.DELAYED, delayed))
            for address in sorted(addresses)
        ]

    # What it is about

    def _came_to(self) -> list[str]:
        own = fields.headers_of(self.message)
        arrived = [value for name in _ARRIVED_AT for header, value in own if header == name]
        arrived += [found[1] for header, value in own if header == "received" and (found := _FOR.search(value))]
        arrived += [value for header, value in own if header in {"to", "cc"}]
        status = self._part("message/delivery-status", "message/global-delivery-status")
        told = [pair for block in fields.blocks_of(status) for pair in block] if status else []
        sent_from = [value for name, value in told if name in {"x-postfix-sender", "x-original-mail-from"}]
        return [*arrived, *sent_from, *(value for name, value in self.quoted if name == "return-path")]

    def _message_ids(self) -> list[str]:
        own = fields.headers_of(self.message)
        quoted = [value for name, value in self.quoted if name == "message-id"]
        answered = [value for name, value in own if name in {"in-reply-to", "references"}]
        ids = [one for value in [*quoted, *answered] for one in _OUR_MESSAGE_ID.findall(value)]
        # Servers without MIME append the message to their own words. It names one of our mails, or nobody knows which.
        return ids or (found if len(found := sorted(set(_OUR_MESSAGE_ID.findall(self.prose)))) == 1 else [])


def _own_parts(message: Message) -> Iterator[Message]:
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.get_payload():
            yield from _own_parts(part)  # type: ignore[arg-type]
    else:
        yield message


def _block(told: fields.Fields) -> RecipientBlock | None:
    """One recipient's block. None for the block about the message as a whole."""
    values = dict(told)
    named = [values[name] for name in ("original-recipient", "final-recipient") if name in values]
    if not named and not {"action", "status"} & values.keys():
        return None
    diagnostic = fields.without_type(values.get("diagnostic-code", ""))
    status = fields.code_in(values.get("status", ""))
    code = fields.code_in(diagnostic) if fields.is_vague(status) else None
    addresses = frozenset(address for value in named for address in fields.addresses_in(value))
    action = _action(values.get("action", ""), code or status or fields.basic_code_in(diagnostic))
    return RecipientBlock(addresses, action, status, code or status, diagnostic or None)


def _action(told: str, code: str | None) -> Action:
    """What was done. Whoever says "failed" has given up, whatever the class of the code (RFC 3464, 2.3.3)."""
    word = told.strip().lower()
    if not word:
        return {"5": Action.FAILED, "4": Action.DELAYED}.get((code or "")[:1], Action.OTHER)
    if word.startswith(("fail", "error")):  # "error" is what older OpenSMTPDs say
        return Action.FAILED
    return Action.DELAYED if word.startswith("delay") else Action.OTHER
