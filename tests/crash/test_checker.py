"""The judge itself: a history for each way in which the promise can be broken, and for each exception to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.crash.checker import Act, Claim, Interruption, Judgement, Kind, Outcome, Row, judge
from tests.crash.fault_smtp import Connection, Envelope, Verdict

NORA = "nora@client.test"
LINK = "http://harbour.test/invitations/harbour.1.1.signature"


def act(kind: Kind, at: float = 1.0, outcome: Outcome = "accepted", *emails: str) -> Act:
    return Act(kind, emails or (NORA,), at, at + 0.1, outcome)


def mail(
    at: float = 2.0,
    verdict: Verdict = "taken",
    *,
    to: tuple[str, ...] = (NORA,),
    link: str = LINK,
    message_id: str = "<1@harbour.test>",
    connection: Connection | None = None,
) -> Envelope:
    connection = connection or Connection(0, began=at)
    connection.mails_begun.append(at)
    raw = f"Message-ID: {message_id}\r\n\r\n{link}\r\n".encode()
    return Envelope(connection, at, at + 0.1, list(to), raw, verdict)


def row(delivery: str = "sent", *, reason: str = "", generation: int = 1, email: str = NORA) -> Row:
    return Row(email, "invite_sent", delivery, reason, "1", generation, delivery == "sent")


def read(link: str) -> Claim | None:
    if "signature" not in link:
        return None
    kind, token = link.split("/")[-2:]
    _, client_id, generation, _ = token.split(".")
    return Claim(kind, client_id, int(generation))


def judged(acts: list[Act], mails: list[Envelope], rows: list[Row], *interruptions: Interruption) -> Judgement:
    return judge(acts, mails, rows, read, interruptions)


def names(found: Judgement) -> list[str]:
    return [name for name in ("lost", "repeated", "unexpected", "wrong_status") if getattr(found, name)]


SECOND = LINK.replace(".1.1.", ".1.2.")


@pytest.mark.parametrize(
    "acts, mails, rows",
    [
        ([act("add")], [mail()], [row()]),
        ([act("add")], [], [row("failed", reason="550 nobody")]),
        ([act("add")], [mail(verdict="refused")], [row("queued", reason="451 not now")]),
        ([act("add"), act("remove", 1.5)], [], []),
        ([act("add"), act("remove", 3)], [mail()], []),
        ([act("add", outcome="unknown")], [], []),
        ([act("add", outcome="unknown")], [mail()], [row()]),
        ([act("add", outcome="refused")], [], []),
        ([act("add"), act("resend", 3)], [mail(), mail(4, link=SECOND)], [row(generation=2)]),
        ([act("add"), act("resend", 3, "unknown")], [mail()], [row()]),
        ([act("add"), act("resend", 3), act("resend", 4)], [mail(), mail(5, link=SECOND)], [row(generation=2)]),
        ([act("import", 1, "unknown", NORA, "otto@client.test")], [], []),
        ([act("add")], [mail(), mail(4, verdict="refused")], [row()]),
    ],
)
def test_what_is_right_is_found_right(acts: list[Act], mails: list[Envelope], rows: list[Row]) -> None:
    found = judged(acts, mails, rows)
    assert names(found) == []
    assert found.excused == []


@pytest.mark.parametrize(
    "acts, mails, rows",
    [
        ([act("add")], [], []),
        ([act("add")], [], [row("queued")]),
        ([act("add")], [], [row("sending")]),
        ([act("add"), act("resend", 3)], [mail()], [row()]),
        ([act("add"), act("resend", 3), act("resend", 9)], [mail(), mail(5, link=SECOND)], [row(generation=2)]),
        ([act("import", 1, "unknown", NORA, "otto@client.test")], [mail()], [row()]),
        ([act("add"), act("remove", 3), act("add", 4)], [mail()], []),
    ],
)
def test_what_was_accepted_and_came_to_nothing_is_lost(acts: list[Act], mails: list[Envelope], rows: list[Row]) -> None:
    assert names(judged(acts, mails, rows)) == ["lost"]


@pytest.mark.parametrize(
    "acts, mails, rows",
    [
        ([], [mail()], []),
        ([act("add", outcome="refused")], [mail()], []),
        ([act("add", 5)], [mail()], [row()]),
        ([act("add"), act("remove", 2)], [mail(9)], []),
        ([act("add")], [mail(to=(NORA, "otto@client.test"))], [row("failed", reason="550 nobody")]),
        ([act("add")], [mail(), mail(4, link="http://evil.test/invitations/1")], [row()]),
        ([act("add")], [mail(), mail(4, link=LINK.replace(".1.1.", ".7.1."))], [row()]),
        ([act("add"), act("resend", 3)], [mail(9), mail(9, link=SECOND)], [row(generation=2)]),
        ([act("add")], [mail(), mail(link=SECOND)], [row()]),
        ([act("add"), act("remove", 3)], [mail()], [row()]),
        ([], [], [row("failed", reason="550 nobody")]),
        ([act("add")], [mail(), mail(link=LINK.replace("invitations", "verify-email"))], [row()]),
    ],
)
def test_what_nobody_asked_for_is_unexpected(acts: list[Act], mails: list[Envelope], rows: list[Row]) -> None:
    assert names(judged(acts, mails, rows)) == ["unexpected"]


@pytest.mark.parametrize(
    "mails, end",
    [
        ([], row()),
        ([mail(verdict="refused")], row()),
        ([mail(verdict="unknown")], row()),
        ([mail()], row("failed", reason="550 nobody")),
        ([mail()], row("queued", reason="451 not now")),
        ([], row("failed")),
        ([mail()], replace(row(), has_expiry=False)),
    ],
)
def test_what_the_table_says_and_is_not_so_is_a_wrong_status(mails: list[Envelope], end: Row) -> None:
    assert names(judged([act("add")], mails, [end])) == ["wrong_status"]


def test_a_repeat_is_excused_by_an_answer_that_never_came() -> None:
    found = judged([act("add")], [mail(verdict="unknown"), mail(4)], [row()])
    assert names(found) == []
    assert len(found.excused) == 1


def test_a_repeat_is_excused_by_a_death_while_it_was_in_the_servers_hands() -> None:
    death = Interruption(2.2, 2.2, "a kill")
    found = judged([act("add")], [mail(), mail(4)], [row()], death)
    assert names(found) == []
    assert len(found.excused) == 1


@pytest.mark.parametrize(
    "second, moment",
    [
        (mail(4), None),
        (mail(4), 5.0),
        (mail(4), 1.0),
        (mail(4, message_id="<2@harbour.test>"), 2.2),
    ],
    ids=["nothing happened", "it happened later", "it happened earlier", "another Message-ID"],
)
def test_other_repeats_are_not_excused(second: Envelope, moment: float | None) -> None:
    deaths = [Interruption(moment, moment, "a kill")] if moment else []
    assert names(judged([act("add")], [mail(), second], [row()], *deaths)) == ["repeated"]


def test_a_death_is_no_excuse_once_the_connection_went_on_or_had_ended() -> None:
    went_on, ended = Connection(1), Connection(2)
    first = mail(connection=went_on)
    went_on.mails_begun.append(2.5)
    death = Interruption(3.0, 3.0, "a kill")
    assert names(judged([act("add")], [first, mail(4)], [row()], death)) == ["repeated"]
    first = mail(connection=ended)
    ended.ended = 2.3
    assert names(judged([act("add")], [first, mail(4)], [row()], death)) == ["repeated"]
