"""Why an email did not arrive, by the server's code or words."""

from __future__ import annotations

import pytest

from app.clients.advice import Cause, cause_of, server_words


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("552 5.2.2 The mailbox is over quota", Cause.MAILBOX_FULL),
        ("The mail server answered RCPT TO with: 452 4.2.2 later", Cause.MAILBOX_FULL),
        ("550 Mailbox is full", Cause.MAILBOX_FULL),
        ("550 5.1.1 <a@x.test>: Recipient address rejected", Cause.NO_MAILBOX),
        ("smtp; 550 no such user here", Cause.NO_MAILBOX),
        ("The mailbox is disabled", Cause.NO_MAILBOX),
        ("User doesn't exist", Cause.NO_MAILBOX),
        ("X-Postfix; Host or domain name not found. Name service error for name=x.test", Cause.NO_DOMAIN),
        ("5.4.4 (unable to look up host)", Cause.NO_DOMAIN),
        ("556 5.1.10 null MX", Cause.NO_DOMAIN),
        ("552 5.3.4 Message size exceeds fixed limit", Cause.TOO_LARGE),
        ("554 5.7.1 our policy forbids it, the mailbox is full", Cause.POLICY),
        ("554 blocked as spam", Cause.POLICY),
        ("550 5.0.0 no", Cause.OTHER),
        ("550 see 192.0.2.25.1", Cause.OTHER),
        ("", Cause.OTHER),
    ],
)
def test_the_code_decides_before_the_words(reason: str, cause: Cause) -> None:
    assert cause_of(reason) is cause


def test_the_step_is_no_word_of_the_server() -> None:
    assert server_words("The mail server answered MAIL FROM with: 550 no") == "550 no"
    assert server_words("The email cannot be built.") == "The email cannot be built."
