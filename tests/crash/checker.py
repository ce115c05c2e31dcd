"""The judge of the crash tests: what admins were answered, what the mail server got, what the table says at the end.

Everything has its moment by the one monotonic clock of the machine. An answer that never came leaves it open whether
the thing was done; then both are right, but what is in the table counts as accepted from there on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from tests.crash.fault_smtp import Envelope

Kind = Literal["add", "import", "resend", "remove", "register"]
Outcome = Literal["accepted", "refused", "unknown"]

IN_HAND_SECONDS = 2.0
"""How long after an answer a mail may begin that was looked at for the last time before it."""
SECOND_PRESS_SECONDS = 5.0
"""How long after a resend another one by the same admin is the same."""
_SOON_SECONDS = 0.5


@dataclass(frozen=True)
class Act:
    """Something an admin asked for over HTTP, and what the answer said; an import names all its addresses."""

    kind: Kind
    emails: tuple[str, ...]
    begun: float
    answered: float
    outcome: Outcome
    status: int | None = None


@dataclass(frozen=True)
class Interruption:
    """A process died or froze at a moment, or was cut off from its database from one moment to another."""

    since: float
    until: float
    what: str


@dataclass(frozen=True)
class Row:
    """A line of the table in the end: over HTTP what a person sees, and from the database whose it is."""

    email: str
    status: str
    delivery: str
    reason: str
    client_id: str
    generation: int
    has_expiry: bool


@dataclass(frozen=True)
class Claim:
    """What a genuine link says."""

    kind: str
    client_id: str
    generation: int


@dataclass
class Judgement:
    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong_status: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)
    """Repeats of what was in the server's hands when a process died or no answer came: the promise's one exception."""
    accepted: int = 0
    taken: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.repeated or self.unexpected or self.wrong_status)

    def __str__(self) -> str:
        parts = [f"{self.accepted} accepted, {self.taken} taken, {len(self.excused)} excused repeats"]
        for name in ("lost", "repeated", "unexpected", "wrong_status"):
            found = getattr(self, name)
            parts += [f"{name} ({len(found)}):", *(f"  {line}" for line in found[:20])] if found else []
        return "\n".join(parts)


def judge(
    acts: Iterable[Act],
    history: Sequence[Envelope],
    rows: Sequence[Row],
    read_link: Callable[[str], Claim | None],
    interruptions: Sequence[Interruption] = (),
) -> Judgement:
    """Whether the promise was kept. To be asked when nothing is under way any more."""
    return _Judge(list(acts), list(history), rows, read_link, list(interruptions)).judge()


class _Judge:
    def __init__(
        self,
        acts: list[Act],
        history: list[Envelope],
        rows: Sequence[Row],
        read_link: Callable[[str], Claim | None],
        interruptions: list[Interruption],
    ) -> None:
        self._found = Judgement()
        self._imports = [act for act in acts if act.kind == "import"]
        self._acts: defaultdict[str, list[Act]] = defaultdict(list)
        for act in acts:
            for email in act.emails:
                self._acts[email].append(act)
        self._history = history
        self._rows = {row.email: row for row in rows}
        if len(self._rows) != len(rows):
            self._found.unexpected.append("an address has two rows")
        self._claims = {link: read_link(link) for mail in history for link in mail.links}
        self._interruptions = interruptions
        self._mails: defaultdict[str, list[Envelope]] = defaultdict(list)
        self._of_invitation: defaultdict[tuple[str, str, int], list[Envelope]] = defaultdict(list)

    def judge(self) -> Judgement:
        for mail in self._history:
            self._judge_mail(mail)
        for (email, _client_id, generation), mails in self._of_invitation.items():
            self._judge_repeats(f"{email}, generation {generation}", mails)
        for email in {*self._acts, *self._rows}:
            self._judge_row(email)
        for act in self._imports:
            self._judge_import(act)
        self._found.taken = sum(mail.verdict == "taken" for mail in self._history)
        return self._found

    # A mail

    def _judge_mail(self, mail: Envelope) -> None:
        if len(mail.recipients) != 1:
            self._found.unexpected.append(f"{len(mail.recipients)} recipients: {mail.recipients}")
            return
        email = mail.recipient
        claims = [self._claims[link] for link in mail.links]
        if len(claims) != 1 or claims[0] is None:
            self._found.unexpected.append(f"{email}: wrong link {sorted(mail.links)}")
            return
        (claim,) = claims
        assert claim is not None
        if claim.kind != "invitations":
            if not self._done(email, "register"):
                self._found.unexpected.append(f"{email}: a mail for {claim.kind} that nobody asked for")
            return
        self._mails[email].append(mail)
        self._of_invitation[email, claim.client_id, claim.generation].append(mail)
        self._judge_invitation(mail, email, claim)

    def _judge_invitation(self, mail: Envelope, email: str, claim: Claim) -> None:
        adds = self._done(email, "add", "import")
        if not adds or mail.begun < min(act.begun for act in adds):
            self._found.unexpected.append(f"{email}: was not invited, or not yet")
            return
        for act in self._sure(email, "remove"):
            added_again = any(add.answered > act.begun and add.begun < mail.begun for add in adds)
            if mail.begun > act.answered + IN_HAND_SECONDS and not added_again:
                self._found.unexpected.append(f"{email}: had been removed for {mail.begun - act.answered:.1f} s")
        row = self._rows.get(email)
        if row is not None and row.client_id != claim.client_id and not self._done(email, "remove"):
            self._found.unexpected.append(f"{email}: the link is another client's")
        resends = self._done(email, "resend")
        if not 1 <= claim.generation <= 1 + len(resends):
            self._found.unexpected.append(f"{email}: the link is of generation {claim.generation}")
        answered_before = sum(act.answered + IN_HAND_SECONDS < mail.begun for act in self._sure_resends(email))
        if claim.generation < 1 + answered_before:
            self._found.unexpected.append(f"{email}: the link of generation {claim.generation} had been replaced")

    # Repeats

    def _judge_repeats(self, whose: str, mails: list[Envelope]) -> None:
        if len({(mail.message_id, mail.links) for mail in mails}) != 1:
            self._found.repeated.append(f"{whose}: not under the same Message-ID and link")
        handed = [mail for mail in mails if mail.verdict != "refused"]
        for earlier, later in pairwise(handed):
            excuse = self._excuse(earlier, later)
            if excuse is None:
                self._found.repeated.append(
                    f"{whose}: taken at {earlier.at:.2f} ({earlier.verdict}) and again at {later.at:.2f}"
                )
            else:
                self._found.excused.append(f"{whose}: {excuse}")

    def _excuse(self, earlier: Envelope, later: Envelope) -> str | None:
        """Why a mail may have been sent again: nobody could know, or nobody could note, that it had been taken."""
        if earlier.verdict == "unknown":
            return f"no answer to the first ({earlier.said})"
        went_on = earlier.connection_went_on
        for one in self._interruptions:
            # It was the last mail of its connection, and the connection was there: else it was marked by then.
            ended = earlier.connection.ended
            was_in_hand = (went_on is None or went_on > one.since) and (
                ended is None or ended > one.since - _SOON_SECONDS
            )
            if earlier.at < one.until + _SOON_SECONDS and one.since < later.at and was_in_hand:
                return one.what
        return None

    # The table

    def _judge_row(self, email: str) -> None:
        row = self._rows.get(email)
        adds = self._done(email, "add", "import")
        removals = self._done(email, "remove")
        if row is None:
            is_accepted = any(
                all(removal.answered < add.begun for removal in removals) for add in self._sure(email, "add", "import")
            )
            if is_accepted:
                self._found.lost.append(f"{email}: was accepted and is not in the table")
            return
        self._found.accepted += 1
        if not adds:
            self._found.unexpected.append(f"{email}: is in the table, and nobody added it")
            return
        if any(all(add.answered < act.begun for add in adds) for act in self._sure(email, "remove")):
            self._found.unexpected.append(f"{email}: is in the table, but was removed")
        surely, perhaps = len(self._sure_resends(email)), len(self._done(email, "resend"))
        if not removals and not 1 + surely <= row.generation <= 1 + perhaps:
            self._found.lost.append(f"{email}: {surely} resends were accepted, generation {row.generation}")
        self._judge_delivery(email, row)

    def _judge_delivery(self, email: str, row: Row) -> None:
        mails = self._of_invitation.get((email, row.client_id, row.generation), [])
        verdicts = {mail.verdict for mail in mails}
        if row.status == "joined" or self._done(email, "register"):
            # Whoever has registered by the link of this generation needs no mail of it any more.
            return
        match row.delivery:
            case "sent":
                if not verdicts & {"taken", "unknown"}:
                    self._found.wrong_status.append(f"{email}: sent, but never taken ({verdicts or 'never offered'})")
                elif "taken" not in verdicts:
                    self._found.wrong_status.append(f"{email}: sent, but no mail was answered with 250")
                if not row.has_expiry:
                    self._found.wrong_status.append(f"{email}: sent, but its seven days have not begun")
            case "failed":
                if "taken" in verdicts:
                    self._found.wrong_status.append(f"{email}: failed, but taken")
                if not row.reason:
                    self._found.wrong_status.append(f"{email}: failed without a reason")
            case _:
                if "taken" in verdicts:
                    self._found.wrong_status.append(f"{email}: {row.delivery}, but taken")
                elif not row.reason:
                    self._found.lost.append(f"{email}: {row.delivery}, never taken, and nothing says why")

    def _judge_import(self, act: Act) -> None:
        present = sum(email in self._rows or bool(self._done(email, "remove")) for email in act.emails)
        if act.outcome == "refused" or not present:
            return
        if present < len(act.emails):
            self._found.lost.append(f"an import was done by half: {present} of {len(act.emails)} rows")

    def _done(self, email: str, *kinds: Kind) -> list[Act]:
        """What was done, or perhaps done."""
        return [act for act in self._acts.get(email, ()) if act.kind in kinds and act.outcome != "refused"]

    def _sure_resends(self, email: str) -> list[Act]:
        """Without those that may have been the second press of the one before, which makes no invitation."""
        done = sorted(self._done(email, "resend"), key=lambda act: act.begun)
        return [
            act
            for n, act in enumerate(done)
            if act.outcome == "accepted" and (not n or act.begun > done[n - 1].answered + SECOND_PRESS_SECONDS)
        ]

    def _sure(self, email: str, *kinds: Kind) -> list[Act]:
        return [act for act in self._acts.get(email, ()) if act.kind in kinds and act.outcome == "accepted"]
