"""Whose fault a refusal is: the recipient's, the mail's own or the mail server's.

The enhanced status code (RFC 3463) decides before the reply code (RFC 5321, 4.2), because servers choose it with more
care. `docs/operations.md` shows this table to operators.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from app.core.stored_texts import stored
from app.outbox.errors import (
    DATA,
    MAIL,
    RCPT,
    DeliveryError,
    PermanentFailure,
    RecipientRefused,
    ServerMisconfigured,
    ServerUnavailable,
    TransientFailure,
    UndecidedRefusal,
)

_ANSWERED = stored("The mail server answered %(step)s with: %(words)s")
_SIGN_IN_WANTED = frozenset({530, 534, 535, 538})  # RFC 4954, 6: may answer any command
_MESSAGE_TOO_LARGE = 552
_ENHANCED = re.compile(r"\d{3}[ -]([245])\.(\d{1,3})\.(\d{1,3})\b")


class Fault(Enum):
    """Whose fault a refusal is, and what follows from it."""

    RECIPIENT = "the address"
    """This recipient cannot be reached, however often others are refused in the same way."""
    MAIL = "this mail"
    """It counts against this mail alone. Five equal permanent ones in a row are the server's after all."""
    UNDECIDED = "this mail, or the server"
    """The server refuses us, or only this mail. The next recipient shows which: see `app.outbox.refusals`."""
    SERVER = "the server"
    """The server or its settings fail for every mail."""


class _Rule(NamedTuple):
    codes: str
    """The enhanced codes it is for. "x" stands for any number, and "" for any code or none."""
    steps: tuple[str, ...]
    fault: Fault


_OF_RECIPIENT = (RCPT, DATA)
# The first rule that fits decides. Before RCPT TO the server does not know the recipient.
_RULES = (
    _Rule("x.3.4", (MAIL,), Fault.UNDECIDED),  # the size of this mail: RFC 1870 has it refused here
    _Rule("", (MAIL,), Fault.SERVER),
    *(_Rule(codes, _OF_RECIPIENT, Fault.RECIPIENT) for codes in ("x.1.1", "x.1.2", "x.1.3", "x.1.6", "x.2.x")),
    *(_Rule(codes, _OF_RECIPIENT, Fault.SERVER) for codes in ("5.1.7", "5.1.8")),  # our sender
    _Rule("4.7.x", _OF_RECIPIENT, Fault.MAIL),  # greylisting
    *(_Rule(codes, _OF_RECIPIENT, Fault.UNDECIDED) for codes in ("5.7.x", "x.3.x")),
    _Rule("", _OF_RECIPIENT, Fault.MAIL),
)


def refusal(step: str, code: int, words: str) -> DeliveryError:
    """The meaning of a 4xx or 5xx reply to one step of a mail. `words`: the whole reply on one line, its code first."""
    reason = _ANSWERED % {"step": step, "words": words}
    is_permanent = code >= 500
    match _fault(step, code, words):
        case Fault.RECIPIENT:
            return RecipientRefused(reason) if is_permanent else TransientFailure(reason)
        case Fault.MAIL:
            return PermanentFailure(reason) if is_permanent else TransientFailure(reason)
        case Fault.UNDECIDED:
            return UndecidedRefusal(reason, is_permanent=is_permanent)
        case Fault.SERVER:
            return ServerMisconfigured(reason) if is_permanent else ServerUnavailable(reason)


def _fault(step: str, code: int, words: str) -> Fault:
    if code in _SIGN_IN_WANTED:
        return Fault.SERVER
    found = _ENHANCED.match(words)
    # The reply code tells whether the refusal is permanent, also where the enhanced code says otherwise.
    enhanced = (str(code // 100), found[2], found[3]) if found else None
    if enhanced is None and step == MAIL and code == _MESSAGE_TOO_LARGE:
        enhanced = ("5", "3", "4")
    return next(rule.fault for rule in _RULES if step in rule.steps and _fits(rule.codes, enhanced))


def _fits(codes: str, enhanced: tuple[str, str, str] | None) -> bool:
    if not codes:
        return True
    return enhanced is not None and all(
        wanted in ("x", found) for wanted, found in zip(codes.split("."), enhanced, strict=True)
    )
