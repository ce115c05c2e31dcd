"""Whose fault a refusal is, by its enhanced status code and the step at which it comes."""

from __future__ import annotations

import pytest

from app.outbox.classification import refusal
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
from app.outbox.refusals import without_variables


@pytest.mark.parametrize("step", [RCPT, DATA])
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        # The recipient's, however often they come.
        ("550 5.1.1 no such user", RecipientRefused),
        ("550 5.1.2 no such domain", RecipientRefused),
        ("501 5.1.3 bad syntax", RecipientRefused),
        ("551 5.1.6 moved away", RecipientRefused),
        ("552 5.2.2 mailbox full", RecipientRefused),
        ("450 4.2.1 receives too much", TransientFailure),
        # Our sender is the same for every mail.
        ("550 5.1.7 bad sender", ServerMisconfigured),
        ("550 5.1.8 the sender's domain does not exist", ServerMisconfigured),
        # Greylisting.
        ("450 4.7.1 try again in five minutes", TransientFailure),
        # The next recipient shows.
        ("554 5.7.1 Relay access denied", UndecidedRefusal),
        ("550-5.7.26 not authenticated 550 5.7.26 see below", UndecidedRefusal),
        ("552 5.3.4 too large", UndecidedRefusal),
        ("451 4.3.0 lookup failed", UndecidedRefusal),
        # Without a class of its own it is the mail's.
        ("550 5.4.1 no access", PermanentFailure),
        ("550 no", PermanentFailure),
        ("550 5.7 is no status code", PermanentFailure),
        ("451 later", TransientFailure),
        ("421 4.4.2 timed out", TransientFailure),
        # The reply code says whether it is permanent.
        ("550 4.1.1 no such user", RecipientRefused),
        # May answer any command.
        ("530 5.7.0 sign in first", ServerMisconfigured),
    ],
)
def test_what_comes_after_the_recipient_is_named(step: str, words: str, kind: type[DeliveryError]) -> None:
    found = refusal(step, int(words[:3]), words)
    assert type(found) is kind
    assert words in found.reason


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("452 4.3.1 out of storage", ServerUnavailable),
        ("451 4.7.1 greylisted", ServerUnavailable),
        ("421 closing", ServerUnavailable),
        ("550 5.1.1 sender unknown", ServerMisconfigured),
        ("550 no", ServerMisconfigured),
        ("552 5.3.4 too large", UndecidedRefusal),
        ("552 too large", UndecidedRefusal),
        ("452 4.3.4 too large for now", UndecidedRefusal),
    ],
)
def test_before_that_it_cannot_be_the_recipients_fault(words: str, kind: type[DeliveryError]) -> None:
    assert type(refusal(MAIL, int(words[:3]), words)) is kind


def test_two_refusals_are_equal_if_only_addresses_and_ids_differ() -> None:
    one = "The mail server answered RCPT TO with: 550 5.4.1 <a@x.test>: no [AB12f.prod]"
    other = "The mail server answered RCPT TO with: 550 5.4.1 <b.c@y.test>: no [CD34e.prod]"
    assert without_variables(one) == without_variables(other)
    assert without_variables(one) != without_variables(one.replace("5.4.1", "5.4.0"))
    assert without_variables(one) != without_variables(one.replace("no", "not today"))
