"""Reports of real mail servers on mails of ours (`tests/support/dsn/`), and others put together by hand."""

from __future__ import annotations

from pathlib import Path

SAMPLES = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "dsn").glob("*.eml"))}
"""By server and kind. Two of them report on an alias, one says `Status: 5.0.0`, one comes as multipart/mixed."""


def sample(name: str, came_to: str, recipient: str, message_id: str) -> bytes:
    """A real report on the mail with this Message-ID. Lines end with LF, as a pipe has them."""
    filled = {"RETURN_PATH": came_to, "RECIPIENT": recipient, "MESSAGE_ID": message_id.strip("<>")}
    text = SAMPLES[name]
    for mark, value in filled.items():
        text = text.replace(f"{{{{{mark}}}}}", value)
    return text.encode()


def report(
    came_to: str,
    *blocks: str,
    message_id: str = "",
    prose: str = "This is the mail system.",
    headers: str = "",
    kind: str = "multipart/report; report-type=delivery-status",
) -> bytes:
    """A report with these blocks about recipients, the rest as Postfix writes it."""
    quoted = f"Content-Type: text/rfc822-headers\n\nMessage-ID: {message_id}\n" if message_id else "\n"
    return (
        f"Return-Path: <>\nDelivered-To: {came_to}\nTo: {came_to}\nFrom: MAILER-DAEMON@mx.test\n{headers}"
        f'Subject: Undelivered\nMIME-Version: 1.0\nContent-Type: {kind}; boundary="edge"\n\n'
        f"--edge\nContent-Type: text/plain; charset=utf-8\n\n{prose}\n\n"
        "--edge\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.test\n\n"
        + "\n\n".join(blocks)
        + f"\n\n--edge\n{quoted}\n--edge--\n"
    ).encode()


def block(recipient: str, action: str = "failed", status: str = "5.1.1", *more: str) -> str:
    """What a report says of one recipient."""
    return "\n".join([f"Final-Recipient: rfc822; {recipient}", f"Action: {action}", f"Status: {status}", *more])


def complaint(came_to: str, message_id: str, kind: str = "abuse", sent_from: str = "") -> bytes:
    """A complaint as a mailbox provider sends it (RFC 5965)."""
    return (
        f"From: <feedback@provider.test>\nTo: <{came_to}>\nSubject: FW: your mail\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="edge"\n\n'
        "--edge\nContent-Type: text/plain\n\nThis is an email abuse report.\n\n"
        "--edge\nContent-Type: message/feedback-report\n\n"
        f"Feedback-Type: {kind}\nUser-Agent: SomeGenerator/1.0\nVersion: 1\nOriginal-Mail-From: <{sent_from}>\n\n"
        f"--edge\nContent-Type: message/rfc822\n\nFrom: us@harbour.test\nMessage-ID: {message_id}\n\nHello\n\n"
        "--edge--\n"
    ).encode()


VACATION = (
    "Return-Path: <>\nDelivered-To: {came_to}\nTo: {came_to}\nFrom: info@nordwind.test\nAuto-Submitted: auto-replied\n"
    "In-Reply-To: {message_id}\nSubject: Out of the office\n\n"
    "I am away until Monday. Mail to info@nordwind.test is not read; the address does not exist any more.\n"
)
