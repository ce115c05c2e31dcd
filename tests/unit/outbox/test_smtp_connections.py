"""Whatever a mail server answers, or fails to answer, is judged by what it means for the mail and the connection."""

from __future__ import annotations

import socket
import time

import pytest

from app.outbox.errors import (
    REASON_LENGTH,
    AmbiguousOutcome,
    DeliveryError,
    PermanentFailure,
    ServerFailure,
    ServerMisconfigured,
    ServerUnavailable,
    TransientFailure,
    UndecidedRefusal,
)
from app.outbox.smtp import SmtpConnection
from app.outbox.smtp_session import MailServer
from tests.support.scripted_smtp import Act, Close, Drip, Flood, Hang, Reply, ScriptedSmtp, Step
from tests.unit.outbox.sending import IMPATIENT, Inbox, a_mail, at, failure_at, failure_of, free_port, limits_for


class TestWhatTheServerSays:
    @pytest.mark.parametrize("step", ["rcpt", "data", "body"])
    def test_no_for_good(self, step: Step) -> None:
        failure, _ = failure_at(step, Reply("550 5.1.1 no such user here"))
        assert isinstance(failure, PermanentFailure)
        assert failure.reason.endswith(": 550 5.1.1 no such user here")

    @pytest.mark.parametrize("step", ["rcpt", "data", "body"])
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

    @pytest.mark.parametrize("step", ["banner", "ehlo", "mail"])
    def test_too_busy_for_anybody(self, step: Step) -> None:
        failure, _ = failure_at(step, Reply("421 4.3.2 too many connections"))
        assert type(failure) is ServerUnavailable
        assert "421 4.3.2 too many connections" in failure.reason

    def test_the_size_of_a_mail_is_refused_before_it_is_sent(self) -> None:
        failure, server = failure_at("mail", Reply("552 5.3.4 too large"))
        assert type(failure) is UndecidedRefusal
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
            ("rcpt", f"550 {'x' * 9000}", f"{LOST}: its reply is too long."),
            ("body", "garbage", f"{LOST}: its reply to DATA was unexpected: something that is no SMTP reply"),
            (
                "banner",
                "garbage",
                "The server at this host and port does not speak SMTP. Check the host's name, the port and the"
                " encryption.",
            ),
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
        assert "did not answer in time" in failure.reason
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


def test_what_the_server_says_of_a_mail_that_it_takes_names_no_link_either() -> None:
    quoted = "250 taken, with http%3A%2F%2Fportal.test%2FINVITATIONS%2FaB3.1.xyz inside"
    with ScriptedSmtp({"body": Reply(quoted)}) as server, SmtpConnection(at(server)) as connection:
        assert connection.send(a_mail()) == "250 taken, with http%3A%2F%2Fportal.test%2FINVITATIONS%2F‹cut› inside"
