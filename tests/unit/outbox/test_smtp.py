"""Delivery over SMTP: against a real server (aiosmtpd), and against one that misbehaves step by step."""

from __future__ import annotations

import base64
import email
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default as modern
from email.utils import formataddr
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import given, settings, strategies

from app.outbox.errors import (
    REASON_LENGTH,
    AmbiguousOutcome,
    DeliveryError,
    InvalidMessage,
    PermanentFailure,
    ServerFailure,
    ServerMisconfigured,
    ServerUnavailable,
    TransientFailure,
)
from app.outbox.mime import RenderedMail, message_of
from app.outbox.smtp import SmtpConnection
from app.outbox.smtp_session import MailServer
from tests.support.scripted_smtp import Act, Close, Drip, Flood, Hang, Reply, ScriptedSmtp, Step

IMPATIENT: dict[str, Any] = {"timeout": 0.4, "deadline": 0.8}
LINK = "https://portal.example.com/invitations/aB3-_x=.y"


def a_mail(**changes: Any) -> RenderedMail:
    mail = RenderedMail(
        message_id="<7c9e.1@portal.example.com>",
        sender=formataddr(("Bakuun, Inc.", "noreply@portal.example.com")),
        recipient="jane.doe+x@client.example.org",
        subject="Invitation to Acme",
        text=f"Hello\n\n{LINK}\n\nBye\n",
        html=f'<p>Hello</p><a href="{LINK}">Accept</a>',
        date=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    )
    return mail._replace(**changes)


def at(server: ScriptedSmtp, **changes: Any) -> MailServer:
    return replace(MailServer(server.host, server.port, "none"), **changes)


def failure_of(server: MailServer, **options: Any) -> DeliveryError:
    """What sending one mail raises."""
    with SmtpConnection(server, **options) as connection, pytest.raises(DeliveryError) as failure:
        connection.send(a_mail())
    return failure.value


def failure_at(step: Step, act: Act, **options: Any) -> tuple[DeliveryError, ScriptedSmtp]:
    """What sending one mail raises when the server does `act` at `step`; and that server."""
    with ScriptedSmtp({step: act}) as server:
        return failure_of(at(server), **(options or limits_for(act))), server


def limits_for(act: Act) -> dict[str, Any]:
    """The usual limits where an answer comes, so that a busy machine fails no test; else short ones."""
    return IMPATIENT if isinstance(act, Hang | Drip) else {}


@dataclass
class Inbox:
    """An aiosmtpd handler that takes everything and remembers it."""

    envelopes: list[Envelope] = field(default_factory=list)
    peers: list[Any] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        self.peers.append(session.peer)
        return "250 2.0.0 taken"

    def message(self) -> EmailMessage:
        """The only mail that came, parsed."""
        (envelope,) = self.envelopes
        return parsed(envelope.original_content)

    def raw(self) -> bytes:
        content = self.envelopes[-1].original_content
        assert content is not None
        return content


def parsed(content: bytes | None) -> EmailMessage:
    assert content is not None
    message = email.message_from_bytes(content, policy=modern)
    assert isinstance(message, EmailMessage)
    return message


def as_sent(mail: RenderedMail) -> bytes:
    """The mail as it would go over the wire, but for the dots."""
    return message_of(mail).as_bytes()


def text_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert isinstance(part, EmailMessage)
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def real_server(inbox: Inbox) -> Iterator[MailServer]:
    with running(inbox) as port:
        yield MailServer("127.0.0.1", port, "none")


@contextmanager
def running(handler: Inbox, **options: Any) -> Iterator[int]:
    """A real SMTP server; yields its port."""
    port = free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class TestWhatArrives:
    def test_the_envelope_holds_bare_addresses(self, inbox: Inbox, real_server: MailServer) -> None:
        with SmtpConnection(real_server) as connection:
            assert connection.send(a_mail()) == "250 2.0.0 taken"

        (envelope,) = inbox.envelopes
        assert envelope.mail_from == "noreply@portal.example.com"
        assert envelope.rcpt_tos == ["jane.doe+x@client.example.org"]

    def test_the_headers_are_as_given(self, inbox: Inbox, real_server: MailServer) -> None:
        with SmtpConnection(real_server) as connection:
            connection.send(a_mail(reply_to="admin@acme.example"))

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

    def test_no_encoded_word_of_a_subject_ends_within_a_character(self) -> None:
        """RFC 2047, 5: each has to make sense by itself; a reader may decode one after the other."""
        subject = "a" + "旅行é" * 40
        head = as_sent(a_mail(subject=subject)).partition(b"\r\n\r\n")[0]
        words = re.findall(rb"=\?utf-8\?b\?(.*?)\?=", head.partition(b"Subject: ")[2].partition(b"\r\nDate")[0])
        assert len(words) > 5
        assert "".join(base64.b64decode(word).decode() for word in words) == subject

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

        assert failure.value.reason.startswith("The mail cannot be built: ")
        assert "\n" not in failure.value.reason
        assert len(server.mails) == 1


class TestWhatTheServerSays:
    @pytest.mark.parametrize("step", ["rcpt", "data", "body"])
    def test_no_for_good(self, step: Step) -> None:
        failure, _ = failure_at(step, Reply("550 5.1.1 no such user here"))
        assert type(failure) is PermanentFailure
        assert failure.reason.endswith(": 550 5.1.1 no such user here")

    @pytest.mark.parametrize("step", ["mail", "rcpt", "data", "body"])
    @pytest.mark.parametrize("code", [421, 451, 452])
    def test_not_now(self, step: Step, code: int) -> None:
        failure, _ = failure_at(step, Reply(f"{code} 4.7.0 greylisted"))
        assert type(failure) is TransientFailure
        assert f"{code} 4.7.0 greylisted" in failure.reason

    @pytest.mark.parametrize(
        ("step", "reply"),
        [
            ("banner", "554 no service"),
            ("ehlo", "550 go away"),
            ("mail", "550 5.7.1 sender not allowed"),
            ("mail", "530 5.7.0 authentication required"),
            ("rcpt", "530 5.7.0 authentication required"),
        ],
    )
    def test_what_would_befall_every_mail_is_the_servers_fault(self, step: Step, reply: str) -> None:
        failure, server = failure_at(step, Reply(reply))
        assert type(failure) is ServerMisconfigured
        assert reply in failure.reason
        assert server.mails == []

    @pytest.mark.parametrize("step", ["banner", "ehlo"])
    def test_too_busy_for_anybody(self, step: Step) -> None:
        failure, _ = failure_at(step, Reply("421 4.3.2 too many connections"))
        assert type(failure) is ServerUnavailable
        assert "421 4.3.2 too many connections" in failure.reason

    def test_a_mail_that_is_too_large_is_not_the_servers_fault(self) -> None:
        failure, server = failure_at("mail", Reply("552 5.3.4 too large"))
        assert type(failure) is PermanentFailure
        assert " SIZE=" in server.commands[1].upper()

    def test_its_words_are_made_fit_to_be_shown(self) -> None:
        words = "550-\x1b[31mno\u202e\x00\r\n550 " + "x" * 900
        failure, _ = failure_at("rcpt", Reply(words))
        assert failure.reason.isprintable()
        assert len(failure.reason) == REASON_LENGTH

    @pytest.mark.parametrize("step", ["rcpt", "data", "body"])
    def test_the_next_mail_goes_over_the_same_connection(self, step: Step) -> None:
        with ScriptedSmtp({step: Reply("550 no")}) as server, SmtpConnection(at(server)) as connection:
            with pytest.raises(PermanentFailure):
                connection.send(a_mail())
            server.script = {}
            assert connection.send(a_mail()) == "250 taken as 42"

        assert server.connections == 1
        assert server.verbs.count("RSET") == 1

    def test_a_refusal_counts_even_if_the_connection_breaks_on_it(self) -> None:
        script: dict[Step, Act] = {"rcpt": Reply("550 no"), "rset": Close()}
        with ScriptedSmtp(script) as server, SmtpConnection(at(server)) as connection:
            with pytest.raises(PermanentFailure):
                connection.send(a_mail())
            server.script = {}
            assert connection.send(a_mail())
        assert server.connections == 2


BREAKS = [Close(), Hang(), Flood()]
LOST = "The connection to the mail server was lost"


class TestBrokenConnections:
    @pytest.mark.parametrize("act", BREAKS, ids=repr)
    @pytest.mark.parametrize("step", ["banner", "ehlo"])
    def test_before_any_mail_nothing_is_held_against_it(self, step: Step, act: Act) -> None:
        failure, server = failure_at(step, act)
        assert type(failure) is ServerUnavailable
        assert server.mails == []

    @pytest.mark.parametrize("act", [*BREAKS, Reply("garbage")], ids=repr)
    @pytest.mark.parametrize("step", ["mail", "rcpt", "data"])
    def test_before_the_end_of_the_mail_it_is_not_delivered(self, step: Step, act: Act) -> None:
        failure, server = failure_at(step, act)
        assert type(failure) is TransientFailure
        assert server.mails == []

    @pytest.mark.parametrize("act", [*BREAKS, Reply("garbage")], ids=repr)
    def test_after_the_end_of_the_mail_nobody_knows(self, act: Act) -> None:
        failure, server = failure_at("body", act)
        assert type(failure) is AmbiguousOutcome
        assert len(server.mails) == 1

    def test_data_answered_without_go_ahead_sends_no_mail(self) -> None:
        failure, server = failure_at("data", Reply("250 what?"))
        assert type(failure) is TransientFailure
        assert server.mails == []

    @pytest.mark.parametrize(
        ("step", "kind"),
        [("banner", ServerUnavailable), ("mail", TransientFailure), ("body", AmbiguousOutcome)],
    )
    def test_a_server_that_drips_is_left_at_the_deadline(self, step: Step, kind: type[DeliveryError]) -> None:
        began = time.monotonic()
        failure, _ = failure_at(step, Drip(pause=0.05), timeout=10, deadline=0.8)
        assert type(failure) is kind
        assert 0.7 < time.monotonic() - began < 5

    def test_a_reply_without_end_is_not_read_until_the_memory_is_full(self) -> None:
        failure, _ = failure_at("mail", Flood())
        assert "reply is too long" in failure.reason

    @pytest.mark.parametrize(
        ("step", "said", "reason"),
        [
            ("rcpt", f"550 {'x' * 9000}", f"{LOST}: 500 Line too long."),
            ("body", "garbage", f"{LOST}: unexpected reply to DATA: something that is no SMTP reply"),
            ("banner", "garbage", "The mail server refused the connection: something that is no SMTP reply"),
        ],
    )
    def test_what_is_no_reply_is_told_in_words(self, step: Step, said: str, reason: str) -> None:
        failure, _ = failure_at(step, Reply(said))
        assert failure.reason == reason

    def test_a_slow_verdict_is_waited_for_until_the_deadline(self) -> None:
        began = time.monotonic()
        failure, _ = failure_at("body", Hang(), timeout=0.4, deadline=0.9)
        assert type(failure) is AmbiguousOutcome
        assert time.monotonic() - began > 0.8

    @pytest.mark.parametrize("step", ["mail", "body"])
    def test_the_next_mail_gets_a_new_connection(self, step: Step) -> None:
        with ScriptedSmtp({step: Close()}) as server, SmtpConnection(at(server)) as connection:
            with pytest.raises(DeliveryError):
                connection.send(a_mail())
            server.script = {}
            assert connection.send(a_mail())
        assert server.connections == 2

    def test_nobody_listens(self) -> None:
        failure = failure_of(MailServer("127.0.0.1", free_port(), "none"))
        assert type(failure) is ServerUnavailable

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 300, "exa mple"])
    def test_a_name_that_leads_nowhere(self, host: str) -> None:
        failure = failure_of(MailServer(host, 25, "none"))
        assert isinstance(failure, ServerFailure)

    def test_a_resolver_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def slow(*_: object, **__: object) -> list[object]:
            time.sleep(2)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        began = time.monotonic()
        failure = failure_of(MailServer("slow.example", 25, "none"), **IMPATIENT)
        assert type(failure) is ServerUnavailable
        assert "slow.example was not resolved in time" in failure.reason
        assert time.monotonic() - began < 1.9  # before the resolver comes back

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::ffff:127.0.0.1", "0x7f000001"])
    def test_an_address_that_is_not_allowed_is_not_even_connected_to(self, host: str) -> None:
        with ScriptedSmtp() as server:
            failure = failure_of(at(server, host=host), permits=lambda address: not address.is_loopback)
        assert type(failure) is ServerMisconfigured
        assert "not allowed" in failure.reason
        assert server.connections == 0


class TestKeptConnections:
    def test_many_mails_share_one(self, inbox: Inbox, real_server: MailServer) -> None:
        with SmtpConnection(real_server) as connection:
            for number in range(20):
                connection.send(a_mail(message_id=f"<{number}@portal.example.com>"))

        assert len(inbox.envelopes) == 20
        assert len(set(inbox.peers)) == 1

    @pytest.mark.parametrize(
        "act",
        [
            Reply("250 taken", then_close=True),
            Reply("250 taken\r\n421 4.4.2 idle for too long", then_close=True),
            Reply("250 taken\r\n421 4.4.2 idle for too long"),
        ],
        ids=repr,
    )
    def test_one_that_the_server_has_ended_is_made_anew(self, act: Act) -> None:
        with ScriptedSmtp({"body": act}) as server, SmtpConnection(at(server)) as connection:
            for _ in range(3):
                assert connection.send(a_mail()) == "250 taken"

        assert len(server.mails) == 3
        assert server.connections == 3

    def test_one_that_has_gone_silent_is_made_anew(self) -> None:
        with ScriptedSmtp() as server, SmtpConnection(at(server), **IMPATIENT) as connection:
            connection.send(a_mail())
            server.script = {"mail": Hang()}
            with pytest.raises(TransientFailure):
                connection.send(a_mail())

        assert server.connections == 2
        assert len(server.mails) == 1

    def test_a_mail_that_had_begun_is_not_begun_again(self) -> None:
        with ScriptedSmtp() as server, SmtpConnection(at(server)) as connection:
            connection.send(a_mail())
            server.script = {"body": Close()}
            with pytest.raises(AmbiguousOutcome):
                connection.send(a_mail())

        assert server.connections == 1
        assert len(server.mails) == 2

    def test_two_do_not_disturb_each_other(self) -> None:
        with (
            ScriptedSmtp({"mail": Hang()}) as bad,
            ScriptedSmtp() as good,
            SmtpConnection(at(bad), **IMPATIENT) as to_bad,
            SmtpConnection(at(good)) as to_good,
        ):
            to_good.send(a_mail())
            with pytest.raises(TransientFailure):
                to_bad.send(a_mail())
            to_good.send(a_mail())

        assert good.connections == 1
        assert len(good.mails) == 2

    def test_closing_says_goodbye_and_can_be_repeated(self) -> None:
        with ScriptedSmtp() as server:
            connection = SmtpConnection(at(server))
            connection.close()
            connection.send(a_mail())
            connection.close()
            connection.close()
            assert connection.send(a_mail())
            connection.close()
        assert server.verbs.count("QUIT") == server.connections == 2

    @pytest.mark.parametrize("act", [Close(), Hang(), Reply("500 no")], ids=repr)
    def test_a_goodbye_that_fails_hides_nothing(self, act: Act) -> None:
        with (
            ScriptedSmtp({"quit": act}) as server,
            pytest.raises(RuntimeError, match="the first error"),
            SmtpConnection(at(server), **limits_for(act)) as connection,
        ):
            connection.send(a_mail())
            raise RuntimeError("the first error")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


SIGNED_IN: dict[str, Any] = {"username": "postmaster", "password": "correct horse"}


class TestTls:
    @pytest.mark.parametrize("tls", ["starttls", "ssl"])
    def test_mail_and_password_go_encrypted(self, authority: trustme.CA, ca_file: str, tls: str) -> None:
        context = server_tls(authority)
        with (
            ScriptedSmtp(tls=context, implicit_tls=tls == "ssl", offer_auth=True) as server,
            SmtpConnection(at(server, tls=tls, ca_file=ca_file, **SIGNED_IN)) as connection,
        ):
            assert connection.send(a_mail())
            assert connection.send(a_mail())

        greeting = ["EHLO", "STARTTLS", "EHLO"] if tls == "starttls" else ["EHLO"]
        a_mails = ["MAIL", "RCPT", "DATA"]
        assert server.verbs == [*greeting, "AUTH", *a_mails, *a_mails, "QUIT"]

    def test_a_real_server_that_wants_both(self, inbox: Inbox, authority: trustme.CA, ca_file: str) -> None:
        wants = {"require_starttls": True, "auth_required": True, "authenticator": only_the_postmaster}
        with running(inbox, tls_context=server_tls(authority), **wants) as port:
            server = MailServer("127.0.0.1", port, "starttls", ca_file=ca_file, **SIGNED_IN)
            with SmtpConnection(server) as connection:
                connection.send(a_mail())
            failure = failure_of(replace(server, password="wrong"))

        assert len(inbox.envelopes) == 1
        assert type(failure) is ServerMisconfigured
        assert "refused the sign-in: 535 " in failure.reason

    @pytest.mark.parametrize("tls", ["starttls", "ssl"])
    @pytest.mark.parametrize("flaw", ["unknown authority", "another name"])
    def test_a_certificate_that_cannot_be_verified(
        self, authority: trustme.CA, ca_file: str, tls: str, flaw: str
    ) -> None:
        another = flaw == "another name"
        context = server_tls(authority, "mail.elsewhere.example" if another else "127.0.0.1")
        with ScriptedSmtp(tls=context, implicit_tls=tls == "ssl", offer_auth=True) as server:
            failure = failure_of(at(server, tls=tls, ca_file=ca_file if another else None, **SIGNED_IN))
        assert type(failure) is ServerMisconfigured
        assert "certificate is not trusted" in failure.reason
        assert not {"AUTH", "MAIL"} & set(server.verbs)

    def test_starttls_stripped_by_somebody_in_between(self) -> None:
        with ScriptedSmtp(offer_auth=True) as server:
            failure = failure_of(at(server, tls="starttls", **SIGNED_IN))
        assert type(failure) is ServerMisconfigured
        assert "STARTTLS" in failure.reason
        assert server.verbs[0] == "EHLO"
        assert not {"AUTH", "MAIL"} & set(server.verbs)

    @pytest.mark.parametrize(
        ("act", "kind"),
        [
            (Reply("454 4.7.0 not now"), ServerUnavailable),
            (Reply("502 no"), ServerMisconfigured),
            (Reply("220 go ahead\r\n220 but not in TLS"), ServerMisconfigured),
            (Drip(), ServerUnavailable),
        ],
        ids=repr,
    )
    def test_starttls_that_fails(self, act: Act, kind: type[DeliveryError], authority: trustme.CA) -> None:
        with ScriptedSmtp({"starttls": act}, tls=server_tls(authority), offer_auth=True) as server:
            failure = failure_of(at(server, tls="starttls", **SIGNED_IN), **limits_for(act))
        assert type(failure) is kind
        assert not {"AUTH", "MAIL"} & set(server.verbs)

    def test_a_silent_handshake_ends_in_time(self, authority: trustme.CA) -> None:
        with ScriptedSmtp({"handshake": Hang()}, tls=server_tls(authority), implicit_tls=True) as server:
            failure = failure_of(at(server, tls="ssl"), **IMPATIENT)
        assert type(failure) is ServerUnavailable

    def test_a_handshake_gets_no_more_than_what_is_left(self, authority: trustme.CA) -> None:
        script: dict[Step, Act] = {"starttls": Reply("220 go ahead", after=1.0), "handshake": Hang()}
        began = time.monotonic()
        with ScriptedSmtp(script, tls=server_tls(authority)) as server:
            failure = failure_of(at(server, tls="starttls"), deadline=1.3)
        assert type(failure) is ServerUnavailable
        assert time.monotonic() - began < 5, "ten seconds, had it begun to count anew"

    def test_a_verdict_that_drips_under_tls_ends_in_time(self, authority: trustme.CA, ca_file: str) -> None:
        began = time.monotonic()
        with ScriptedSmtp({"body": Drip()}, tls=server_tls(authority)) as server:
            failure = failure_of(at(server, tls="starttls", ca_file=ca_file), **IMPATIENT)
        assert type(failure) is AmbiguousOutcome
        assert time.monotonic() - began < 5


class TestSigningIn:
    def test_in_clear_text_only_on_this_machine(self) -> None:
        with (
            ScriptedSmtp(offer_auth=True) as server,
            SmtpConnection(at(server, **SIGNED_IN)) as connection,
        ):
            assert connection.send(a_mail())
        assert "AUTH" in server.verbs

    def test_never_in_clear_text_over_the_network(self) -> None:
        with ScriptedSmtp(offer_auth=True, host=own_network_address()) as server:
            failure = failure_of(at(server, **SIGNED_IN))
        assert type(failure) is ServerMisconfigured
        assert "not encrypted" in failure.reason
        assert not {"AUTH", "MAIL"} & set(server.verbs)

    @pytest.mark.parametrize(
        ("act", "kind"),
        [
            (Reply("535 5.7.8 wrong password"), ServerMisconfigured),
            (Reply("454 4.7.0 try again"), ServerUnavailable),
            (Close(), ServerUnavailable),
            (Hang(), ServerUnavailable),
            (Drip(), ServerUnavailable),
        ],
        ids=repr,
    )
    def test_that_fails_burns_no_mail(self, act: Act, kind: type[DeliveryError]) -> None:
        with ScriptedSmtp({"auth": act}, offer_auth=True) as server:
            failure = failure_of(at(server, **SIGNED_IN), **limits_for(act))
        assert type(failure) is kind
        assert "MAIL" not in server.verbs

    def test_that_the_server_does_not_offer(self) -> None:
        with ScriptedSmtp() as server:
            failure = failure_of(at(server, **SIGNED_IN))
        assert type(failure) is ServerMisconfigured
        assert "AUTH" in failure.reason
        assert "MAIL" not in server.verbs

    def test_with_a_password_that_smtp_cannot_carry(self) -> None:
        with ScriptedSmtp(offer_auth=True) as server:
            failure = failure_of(at(server, username="postmaster", password="geheimnisträger"))
        assert type(failure) is ServerMisconfigured
        assert "geheim" not in failure.reason

    def test_the_password_is_not_shown(self) -> None:
        assert "correct horse" not in repr(MailServer("h", 25, "ssl", **SIGNED_IN))


def only_the_postmaster(_server: Any, _session: Any, _envelope: Any, _how: str, given: Any) -> AuthResult:
    return AuthResult(success=given == LoginPassword(b"postmaster", b"correct horse"), handled=False)


def own_network_address() -> str:
    """An address of this machine that is not loopback. Nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        address: str = probe.getsockname()[0]
    return address


def test_what_the_server_says_of_a_mail_that_it_takes_names_no_link_either() -> None:
    quoted = "250 taken, with http%3A%2F%2Fportal.test%2FINVITATIONS%2FaB3.1.xyz inside"
    with ScriptedSmtp({"body": Reply(quoted)}) as server, SmtpConnection(at(server)) as connection:
        assert connection.send(a_mail()) == "250 taken, with http%3A%2F%2Fportal.test%2FINVITATIONS%2F‹cut› inside"
