"""A mail arrives as it was meant, and one that cannot be built is never sent."""

from __future__ import annotations

import os
import socket
from datetime import datetime
from email.message import EmailMessage
from email.policy import default as modern
from email.utils import formataddr
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from app.outbox.errors import InvalidMessage
from app.outbox.mime import RenderedMail, message_of
from app.outbox.smtp import SmtpConnection
from app.outbox.smtp_session import MailServer
from tests.support.scripted_smtp import ScriptedSmtp
from tests.unit.outbox.sending import LINK, Inbox, a_mail, at, parsed


def as_sent(mail: RenderedMail) -> bytes:
    """The mail as it would go over the wire, but for the dots."""
    return message_of(mail).as_bytes()


def text_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert isinstance(part, EmailMessage)
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


class TestWhatArrives:
    def test_the_envelope_holds_bare_addresses(self, inbox: Inbox, real_server: MailServer) -> None:
        with SmtpConnection(real_server) as connection:
            assert connection.send(a_mail()) == "250 2.0.0 taken"

        (envelope,) = inbox.envelopes
        assert envelope.mail_from == "noreply@portal.example.com"
        assert envelope.rcpt_tos == ["jane.doe+x@client.example.org"]

    def test_the_headers_are_as_given(self, inbox: Inbox, real_server: MailServer) -> None:
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail(reply_to="admin@acme.example", language="fr"))

        message = inbox.message()
        assert message.get_content_type() == "multipart/alternative"
        assert {name: str(message[name]) for name in message if name != "Content-Type"} == {
            "MIME-Version": "1.0",
            "From": '"Bakuun, Inc." <noreply@portal.example.com>',
            "To": "jane.doe+x@client.example.org",
            "Subject": "Invitation to Acme",
            "Date": "Sun, 01 Mar 2026 12:30:00 +0000",
            "Message-ID": "<7c9e.1@portal.example.com>",
            "Reply-To": "admin@acme.example",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "OOF, AutoReply",
            "Content-Language": "fr",
        }

    @pytest.mark.parametrize(
        "text",
        [
            "Hello\n\n" + LINK + "\n",
            "Grüße aus Köln 🎉\n\n" + LINK + "\n",
            "dots\n.\n..\n.end\nFrom here\n" + LINK + "\n",
            "a very long line: " + "x" * 3000 + "\n" + LINK + "\n",
            "trailing blanks   \t\n =3D 100 % \n" + LINK,
        ],
    )
    def test_both_texts_survive_the_way(self, inbox: Inbox, real_server: MailServer, text: str) -> None:
        html = f"<pre>{text}</pre>" + "<b>ü</b>" * 2000
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail(text=text, html=html))

        assert text_of(inbox.message(), "plain") == text
        assert text_of(inbox.message(), "html") == html
        assert b"\r\n." not in inbox.raw()

    def test_no_line_is_too_long_and_every_line_ends_in_crlf(self, inbox: Inbox, real_server: MailServer) -> None:
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail(text="a\rb\r\nc\n", html="<p>" + "long " * 4000 + "</p>"))

        content = inbox.raw()
        assert max(map(len, content.split(b"\r\n"))) <= 998
        assert content.replace(b"\r\n", b"").isascii()
        assert not {b"\r"[0], b"\n"[0]} & set(content.replace(b"\r\n", b""))

    def test_ascii_text_can_be_read_in_the_raw(self, inbox: Inbox, real_server: MailServer) -> None:
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail())

        assert f"\r\n{LINK}\r\n".encode() in inbox.raw()

    @pytest.mark.parametrize(
        "subject",
        ["Größe & Co. lädt Sie ein", "株式会社アクメ" * 12, "=?utf-8?q?not_encoded?=", "x " * 150 + "x"],
    )
    def test_any_subject_comes_out_as_it_went_in(self, inbox: Inbox, real_server: MailServer, subject: str) -> None:
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail(subject=subject))

        assert inbox.message()["Subject"] == subject
        assert inbox.raw().isascii()

    @pytest.mark.parametrize("name", ["Müller, Söhne & Co.", 'The "Best"', "", "アクメ", "=?x?="])
    def test_any_sender_name_comes_out_as_it_went_in(self, inbox: Inbox, real_server: MailServer, name: str) -> None:
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail(sender=formataddr((name, "a@b.example"))))

        (address,) = inbox.message()["From"].addresses
        assert (address.display_name, address.addr_spec) == (name, "a@b.example")
        assert inbox.envelopes[0].mail_from == "a@b.example"

    def test_an_international_sender_domain_is_put_into_ascii(self, inbox: Inbox, real_server: MailServer) -> None:
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail(sender="Shop <post@bücher.example>"))

        assert inbox.envelopes[0].mail_from == "post@xn--bcher-kva.example"

    def test_a_long_message_id_stays_in_one_piece(self, inbox: Inbox, real_server: MailServer) -> None:
        message_id = f"<{'7' * 120}@portal.example.com>"
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail(message_id=message_id))

        assert f"\r\nMessage-ID: {message_id}\r\n".encode() in inbox.raw()

    def test_a_repeat_is_the_same_mail_to_the_byte(self, inbox: Inbox, real_server: MailServer) -> None:
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail())
            connection.send(a_mail())

        first, second = inbox.envelopes
        assert first.original_content == second.original_content

    def test_nobody_asks_the_dns_for_our_own_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(socket, "getfqdn")
        with ScriptedSmtp() as server, SmtpConnection(at(server)) as connection:
            assert connection.send(a_mail())

    def test_the_server_is_greeted_by_the_name_given(self) -> None:
        with (
            ScriptedSmtp() as server,
            SmtpConnection(at(server), local_hostname="portal.example.com") as connection,
        ):
            connection.send(a_mail())
        assert server.commands[0] == "ehlo portal.example.com"


class TestBesideTheStandardLibrary:
    """Mails are written by hand, for speed; what the standard library makes of the same is the measure."""

    TEXTS = strategies.lists(
        strategies.one_of(
            strategies.text(
                strategies.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=0, max_size=40
            ),
            strategies.sampled_from(
                ["", ".", "..", ". ", " ", "\t", "= 3D", "From me", "é" * 300, "x" * 1200, "a b " * 90]
            ),
        ),
        max_size=6,
    ).map("\n".join)

    @given(text=TEXTS, html=TEXTS, subject=TEXTS.map(lambda text: " ".join(text.split())[:300]))
    @settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")), deadline=None)
    def test_a_mail_reads_as_the_librarys_own_would(self, text: str, html: str, subject: str) -> None:
        mail = a_mail(text=text, html=html, subject=subject)
        expected = EmailMessage(policy=modern)
        expected["From"], expected["To"], expected["Subject"] = mail.sender, mail.recipient, subject
        expected.set_content(text, cte="quoted-printable")
        expected.add_alternative(html, subtype="html", cte="quoted-printable")
        content = as_sent(mail)
        ours, theirs = parsed(content), parsed(expected.as_bytes())
        for header in ("From", "To", "Content-Type"):
            assert ours[header].split(";")[0] == theirs[header].split(";")[0]
        assert ours["Subject"] == subject
        assert (text_of(ours, "plain"), text_of(ours, "html")) == (text, html)
        for kind in ("plain", "html"):
            # The library ends each part with a line break, whether there was one or not.
            assert text_of(ours, kind).rstrip("\n") == text_of(theirs, kind).rstrip("\n")
        assert [defect for part in ours.walk() for defect in part.defects] == []
        assert content.isascii()
        assert b"\n" not in content.replace(b"\r\n", b"")
        assert max(map(len, content.split(b"\r\n"))) <= 998
        assert b"\r\n." not in content, "a line that begins with a dot"


class TestWhatCannotBeBuilt:
    @pytest.mark.parametrize(
        "changes",
        [
            {"subject": "Hi\r\nBcc: victim@example.org"},
            {"subject": "Hi\nthere"},
            {"subject": "Hi\r\n folded"},
            {"subject": "Hi\u2028there"},
            {"subject": "Hi\x00"},
            {"subject": "lone surrogate \ud800"},
            {"subject": "x" * 1200},
            {"sender": "Eve\r\nBcc: victim@example.org <eve@example.org>"},
            {"sender": "=?utf-8?q?Eve=0D=0ABcc?= <eve@example.org>"},
            {"sender": "eve@example.org, mallory@example.org"},
            {"sender": "no address"},
            {"sender": "ü@example.org"},
            {"recipient": "jane@example.org, joe@example.org"},
            {"recipient": "jane@example.org\r\nRCPT TO:<joe@example.org>"},
            {"recipient": "Jane <jane@example.org>"},
            {"recipient": "jane@bücher.example"},
            {"recipient": ""},
            {"reply_to": "a@example.org\r\nBcc: victim@example.org"},
            {"more_headers": (("List-Unsubscribe", "<https://a.test/x>\r\nBcc: victim@example.org"),)},
            {"message_id": "<a@b>\r\nBcc: victim@example.org"},
            {"message_id": "no brackets@example.org"},
            {"text": "lone surrogate \ud800"},
            {"date": datetime(2026, 3, 1)},
        ],
    )
    def test_it_is_set_aside_and_nothing_is_sent(self, changes: dict[str, Any]) -> None:
        with ScriptedSmtp() as server, SmtpConnection(at(server)) as connection:
            with pytest.raises(InvalidMessage) as failure:
                connection.send(a_mail(**changes))
            assert connection.send(a_mail()) == "250 taken as 42"

        assert failure.value.reason.startswith("The email cannot be built: ")
        assert "\n" not in failure.value.reason
        assert len(server.mails) == 1
