"""What reports say, whichever server wrote them."""

from __future__ import annotations

import base64
import time

import pytest

from app.bounces.report import READ_BYTES, Action, Finding, read_report
from tests.support.reports import SAMPLES, VACATION, block, complaint, report, sample

OURS, ALIAS_TARGET = "info@nordwind.test", "unknown@store.example"
CAME_TO = "bounces+tag@mail.test"
MESSAGE_ID = f"<{'0a' * 16}@clients.test>"


def found(content: bytes, address: str = OURS) -> Finding | None:
    read = read_report(content)
    return read.about(address) if read else None


def words(content: bytes) -> str:
    finding = found(content)
    assert finding is not None
    return finding.words


# Real ones


@pytest.mark.parametrize(
    "name, action, told, code",
    [
        ("postfix-failed", Action.FAILED, f"550 5.1.1 <{ALIAS_TARGET}> User doesn't exist: {ALIAS_TARGET}", "5.1.1"),
        ("exim-failed", Action.FAILED, f"{OURS}: The mailbox is disabled", "5.0.0"),
        ("opensmtpd-failed", Action.FAILED, f'{OURS}: "mailbox gone"', "5.3.0"),
        ("postfix-delayed", Action.DELAYED, "host mx.away.example is away", "4.4.1"),
    ],
)
def test_reports_of_real_servers(name: str, action: Action, told: str, code: str) -> None:
    content = sample(name, CAME_TO, OURS, MESSAGE_ID)
    assert found(content) == Finding(action, told, code)
    read = read_report(content)
    assert read is not None
    assert CAME_TO in read.came_to[0]
    assert read.message_ids[0] == MESSAGE_ID.strip("<>")
    with_crlf = content.replace(b"\n", b"\r\n")
    assert found(with_crlf) == found(content)


def test_all_samples_are_tried() -> None:
    assert set(SAMPLES) == {"postfix-failed", "exim-failed", "opensmtpd-failed", "postfix-delayed"}


# Whose block decides, and what it says


def test_of_several_recipients_the_block_decides_that_names_ours() -> None:
    blocks = [
        block("other@store.test", "failed", "5.2.2"),
        block(OURS, "delayed", "4.4.1"),
        block("x@y.test", "relayed", "2.0.0"),
    ]
    assert found(report(CAME_TO, *blocks)) == Finding(Action.DELAYED, "4.4.1", "4.4.1")
    original = block("target@store.test", "failed", "5.1.1", f"Original-Recipient: rfc822;{OURS.upper()}")
    assert found(report(CAME_TO, blocks[0], original)) == Finding(Action.FAILED, "5.1.1", "5.1.1")


def test_without_such_a_block_the_first_failed_one_decides() -> None:
    blocks = [
        block("a@store.test", "delayed", "4.4.1"),
        block("b@store.test", "failed", "5.2.2"),
        block("c@store.test"),
    ]
    assert found(report(CAME_TO, *blocks)) == Finding(Action.FAILED, "5.2.2", "5.2.2")


def test_an_address_in_xtext_or_with_a_comment_is_ours() -> None:
    one = block("other@store.test", "delayed", "4.4.1")
    for written in (
        f"rfc822;{OURS.replace('@', '+40')}",
        f"RFC822 ; <{OURS}> (our client)",
        f'rfc822;"info"@{OURS[5:]}',
    ):
        assert found(report(CAME_TO, one, f"original-RECIPIENT: {written}\nACTION: Failed\nSTATUS: 5.1.1")) == Finding(
            Action.FAILED, "5.1.1", "5.1.1"
        )


@pytest.mark.parametrize(
    "action, status, diagnostic, expected, code",
    [
        ("failed", "4.4.7", "", Action.FAILED, "4.4.7"),  # given up, whatever the class
        ("failed (expired)", "5.1.1", "", Action.FAILED, "5.1.1"),
        ("error", "5.1.1", "", Action.FAILED, "5.1.1"),
        ("FAILED", "5.0.0", "smtp; 552 5.2.2 mailbox full", Action.FAILED, "5.2.2"),
        ("failed", "", "smtp; 552 5.2.2 mailbox full", Action.FAILED, "5.2.2"),
        ("failed", "5.1.1", "smtp; 552 5.2.2 mailbox full", Action.FAILED, "5.1.1"),
        ("failed", "5.0.0", "smtp; 550 10.5.1.1 is not welcome", Action.FAILED, "5.0.0"),  # an IP address
        ("delayed", "4.0.0", "smtp; 450 4.2.0 greylisted", Action.DELAYED, "4.2.0"),
        ("delivered", "2.0.0", "", Action.OTHER, "2.0.0"),
        ("relayed", "2.0.0", "", Action.OTHER, "2.0.0"),
        ("expanded", "2.0.0", "", Action.OTHER, "2.0.0"),
        ("", "5.1.1", "", Action.FAILED, "5.1.1"),
        ("", "4.4.1", "", Action.DELAYED, "4.4.1"),
        ("", "", "smtp; 550 nobody of that name", Action.FAILED, None),
        ("", "", "", Action.OTHER, None),
    ],
)
def test_the_action_and_the_code(action: str, status: str, diagnostic: str, expected: Action, code: str | None) -> None:
    fields = {"Action": action, "Status": status, "Diagnostic-Code": diagnostic}
    lines = [f"Final-Recipient: rfc822; {OURS}", *(f"{name}: {value}" for name, value in fields.items() if value)]
    finding = found(report(CAME_TO, "\n".join(lines)))
    assert finding is not None
    assert (finding.action, finding.code) == (expected, code)


def test_the_words_are_the_servers_else_the_line_that_names_the_recipient_else_the_status() -> None:
    ours = f"<{OURS}>: host mx.store.test[192.0.2.1] said:\n    552 5.2.2 full"
    prose = f"Sorry.\n\n<other@x.test>: no\n{ours}\n<c@x.test>: no\n"
    diagnostic = "Diagnostic-Code: smtp; 550-5.1.1 no such\n\tuser here"
    assert (
        words(report(CAME_TO, block(OURS, "failed", "5.1.1", diagnostic), prose=prose)) == "550-5.1.1 no such user here"
    )
    line = words(report(CAME_TO, block(OURS, "failed", "5.0.0"), prose=prose))
    assert line == f"<{OURS}>: host mx.store.test[192.0.2.1] said: 552 5.2.2 full"
    assert words(report(CAME_TO, block(OURS, "failed", "5.0.0"))) == "5.0.0"
    finding = found(report(CAME_TO, block(OURS, "failed", "5.0.0"), prose=prose))
    assert finding is not None
    assert finding.code == "5.2.2"


def test_words_in_any_bytes() -> None:
    text = report(CAME_TO, block(OURS, "failed", "5.1.1", "Diagnostic-Code: smtp; 550 5.1.1 Empfänger unbekannt"))
    assert words(text) == "550 5.1.1 Empfänger unbekannt"
    assert words(text.decode().encode("latin-1")) == "550 5.1.1 Empfänger unbekannt"
    encoded_word = text.replace("Empfänger".encode(), b"=?iso-8859-1?Q?Empf=E4nger?=")
    assert words(encoded_word) == "550 5.1.1 Empfänger unbekannt"


def test_a_status_part_that_is_encoded_or_international() -> None:
    plain = report(CAME_TO, block(OURS, "failed", "5.2.2"))
    head, begin, rest = plain.partition(b"Reporting-MTA")
    told, end, tail = rest.partition(b"\n\n--edge")
    marked = head.replace(b"message/delivery-status\n", b"message/delivery-status\nContent-Transfer-Encoding: base64\n")
    assert found(marked + base64.encodebytes(begin + told) + end + tail) == Finding(Action.FAILED, "5.2.2", "5.2.2")
    of_rfc6533 = plain.replace(b"message/delivery-status", b"message/global-delivery-status")
    assert found(of_rfc6533) == Finding(Action.FAILED, "5.2.2", "5.2.2")


# What comes without a standard


def test_a_server_without_mime_is_understood() -> None:
    qmail = (
        f"Return-Path: <>\nTo: {CAME_TO}\nFrom: MAILER-DAEMON@mx.test\nSubject: failure notice\n\n"
        "Hi. This is the qmail-send program at mx.test.\nI'm afraid I wasn't able to deliver your message to the"
        f" following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<{OURS}>:\n"
        "Sorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\n"
        f"Return-Path: <{CAME_TO}>\nMessage-ID: {MESSAGE_ID}\nTo: {OURS}\n\nHello\n"
    ).encode()
    assert found(qmail) == Finding(Action.FAILED, f"<{OURS}>: Sorry, no mailbox here by that name. (#5.1.1)", "5.1.1")
    read = read_report(qmail)
    assert read is not None
    assert read.message_ids == [MESSAGE_ID.strip("<>")]


def test_an_exim_that_writes_no_status_part_is_understood() -> None:
    exim = (
        f"Return-Path: <>\nX-Failed-Recipients: {OURS}\nAuto-Submitted: auto-replied\n"
        f"From: Mail Delivery System <Mailer-Daemon@mx.test>\nTo: {CAME_TO}\nSubject: Mail delivery failed\n\n"
        "This message was created automatically by mail delivery software.\n\nA message that you sent could not be"
        " delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n"
        f"  {OURS}\n    SMTP error from remote mail server after RCPT TO:<{OURS}>:\n    550 5.1.1 unknown user\n\n"
        f"------ This is a copy of the message, including all the headers. ------\n\nMessage-ID: {MESSAGE_ID}\n"
    ).encode()
    finding = found(exim)
    assert finding is not None
    assert (finding.action, finding.code) == (Action.FAILED, "5.1.1")
    assert "550 5.1.1 unknown user" in finding.words


# What is none


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 5000,
        b"no headers at all, and no report",
        VACATION.format(came_to=CAME_TO, message_id=MESSAGE_ID).encode(),
        b"From: nora@nordwind.test\nTo: bounces@mail.test\nSubject: Re: your invitation\n\nThank you, I will come.\n",
        b'Content-Type: multipart/report; boundary="e"\n\n--e\nContent-Type: message/delivery-status\n\n\n--e--\n',
        b"Content-Type: message/rfc822\n\n" + report(CAME_TO, block(OURS)),  # somebody forwards a report
    ],
    ids=["nothing", "zeros", "no MIME", "vacation", "letter", "empty status", "forwarded"],
)
def test_all_else_is_no_report(content: bytes) -> None:
    assert read_report(content) is None


def test_a_complaint_is_one_and_the_opposite_is_none() -> None:
    read = read_report(complaint("fbl@mail.test", MESSAGE_ID, sent_from=CAME_TO))
    assert read is not None
    assert read.is_complaint
    assert read.message_ids == [MESSAGE_ID.strip("<>")]
    assert CAME_TO in read.came_to[-1]
    for kind in ("not-spam", "auth-failure", ""):
        assert read_report(complaint("fbl@mail.test", MESSAGE_ID, kind)) is None


def test_only_the_first_mebibyte_is_read() -> None:
    padding = ("x" * 75 + "\n") * (READ_BYTES // 76)
    assert read_report(report(CAME_TO, block(OURS), prose=padding)) is None
    assert found(report(CAME_TO, block(OURS), prose=padding[: READ_BYTES - 4096])) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(400))
        + b"x\n" * 99_999,
        b"Content-Type: message/rfc822\n\n" * 30_000,
        b"To: " + b"=?utf-8?q?a?= " * 70_000 + b"\n\n",
        b"Subject: failed\n\n" + b"-" * 1_000_000,
    ],
    ids=["nested", "messages", "encoded words", "dashes"],
)
def test_a_stranger_cannot_choose_how_long_it_takes(content: bytes) -> None:
    began = time.process_time()
    read_report(content)
    assert time.process_time() - began < 5
