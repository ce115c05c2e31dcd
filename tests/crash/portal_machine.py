"""A portal on which a random scenario runs: its people, its mails, its clock, and whether all is as it ought to be."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import count
from typing import Any

import time_machine
from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine, invariant
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from app.core.links import LinkKind, read_token
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import ClientEvent, MailServerState, MailState, Membership, OutboxMail, Role, User
from app.models.types import db_now
from app.outbox.queue import has_due_mail
from tests.crash.installation import Installation
from tests.crash.model import INVITATION, VERIFICATION, Account, Client, Expected, Mailed
from tests.crash.team_model import COLLEAGUE, Colleague
from tests.support.browser import HTMX, Browser, ic
from tests.support.factories import PASSWORD

_BETWEEN_STEPS = timedelta(seconds=6)
_STEPS_BETWEEN_WORK = 5
_NUMBERS = count(1)

NEVER, NOT_NOW, NOT_TWICE = "rcpt-550.", "rcpt-450.x1.", "end-451.x2."
_NAMES = ["anna", "bo", "carl", "dora", "edda", "both", "owner", "staff"]
_NAMES += [f"{NEVER}f", f"{NEVER}g", f"{NOT_NOW}h", f"{NOT_TWICE}i"]
SAYS = {
    INVITATION: {
        "expired": "This invitation has expired",
        "replaced": "This invitation was replaced by a newer one",
        "withdrawn": "This invitation was withdrawn",
        "used": "This invitation was already used",
        "access_ended": "Your access has ended",
    },
    VERIFICATION: {
        "expired": "This link has expired",
        "replaced": "This link was used or replaced",
        "used": "Your email address is already verified",
    },
}
SAYS[COLLEAGUE] = SAYS[INVITATION]
_ROW = re.compile(
    r'<tr id="client-[^"]+" data-client-id="([^"]+)" data-status="([^"]+)" data-delivery="([^"]+)"'
    r'(?: data-link="([^"]+)")?>.*?data-opener="history-[^>]*>([^<]*)</a>.*?<td data-col="email"[^>]*>([^<\s]+)',
    re.DOTALL,
)


@dataclass(frozen=True, repr=False)
class Link:
    """A link that was mailed, and what it stands for."""

    path: str
    kind: str
    of: Client | Account | Colleague
    generation: int

    def __repr__(self) -> str:
        return f"<{self.of}'s {self.kind} link {self.generation}, which is {self.state()}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis prints it."""
        printer.text(repr(self))

    def state(self) -> str:
        return self.of.link_state(self.generation, now_utc())


class PortalMachine(RuleBasedStateMachine):
    """What all rules build on. `state_machine.People` adds what they do."""

    def __init__(self, place: Installation) -> None:
        super().__init__()
        number = next(_NUMBERS)
        self._place = place
        self._do = place.app_driver.do
        self._domain = f"@{number}.random.test"
        self._portal, self._other = f"random-{number}", f"random-{number}-other"
        self._pool = [f"{name}{self._domain}" for name in _NAMES]
        self._team = f"/portals/{self._portal}/settings/team"
        self._ada, self._olaf = f"ada{self._domain}", f"olaf{self._domain}"
        self._expected = Expected()
        self.steps_gone = 0
        self._is_admin = True
        self._is_server_away = False
        self._staff_until = self._away_until = 0
        self._nobody = Browser(place.app)
        self._browsers: dict[str, Browser] = {}
        self._links: dict[str, Link] = {}
        self._mailed: Counter[Mailed] = Counter()
        self._seen_mails = 0
        self._travel = time_machine.travel(datetime.now(UTC), tick=True)
        self._clock = self._travel.start()

    @invariant()
    def the_portal_is_as_it_ought_to_be(self) -> None:
        self._check()
        self._go_on()

    def teardown(self) -> None:
        """A scenario that went well comes to its end. However it went, the clock and the mail server are as before."""
        try:
            if sys.exc_info()[0] is None:
                self._end()
        finally:
            self._let_server_return()
            self._travel.stop()

    def _go_on(self) -> None:
        self.steps_gone += 1
        if not self._is_admin and self.steps_gone > self._staff_until:
            note("the admin is admin again")
            self._be(Role.CLIENT_ADMIN)
        if self._is_server_away and self.steps_gone > self._away_until:
            note("the mail server is back")
            self._let_server_return()
        # Without it, hardly anybody would join in a scenario for which Hypothesis leaves out the rules of the worker.
        if self.steps_gone % _STEPS_BETWEEN_WORK == 0:
            note("the worker comes by")
            self._flush()
            self._track_expiry()
        # Nobody presses twice, or too often.
        self._clock.shift(_BETWEEN_STEPS)
        self._place.app_driver.forget_limits()

    def _end(self) -> None:
        """The mail server is back, what waits goes out, and no dead link has been forgotten."""
        self._let_server_return()
        while self._expected.waits:
            self._flush()
        self._check()
        # Everybody tries every link that is dead.
        for link in self.links:
            if link.state() != "valid":
                self._press(link, None)
        self._check()

    # Whom and what a rule may choose from

    @property
    def new(self) -> list[str]:
        """Addresses that are not in the table."""
        return [email for email in self._pool if email not in self._expected.clients]

    @property
    def anybody(self) -> list[Client]:
        """Most often somebody in the table."""
        return 5 * list(self._expected.clients.values()) + self._expected.removed

    @property
    def joined(self) -> list[Client]:
        return [client for client in self._expected.clients.values() if client.is_joined]

    @property
    def links(self) -> list[Link]:
        """All of them, in an order that has nothing to do with which of two connections was quicker."""
        return sorted(self._links.values(), key=lambda link: (link.of.email, link.kind, link.generation))

    @property
    def invitations_of_strangers(self) -> list[Link]:
        return [
            link for link in self._live_links(INVITATION, COLLEAGUE) if link.of.email not in self._expected.accounts
        ]

    @property
    def invitations_of_users(self) -> list[Link]:
        return [link for link in self._live_links(INVITATION, COLLEAGUE) if link.of.email in self._expected.accounts]

    @property
    def verifications(self) -> list[Link]:
        return self._live_links(VERIFICATION)

    @property
    def unverified(self) -> list[Account]:
        return [one for one in self._expected.accounts.values() if not one.is_verified and one.generation < 5]

    @property
    def others(self) -> list[str]:
        """Whoever has an account, and is not the admin."""
        admins = self._expected.team.admins
        return [self._olaf, *(email for email in self._expected.accounts if email not in {self._ada, *admins})]

    def _live_links(self, *kinds: str) -> list[Link]:
        return [link for link in self.links if link.kind in kinds and link.state() == "valid"]

    def _track_expiry(self) -> None:
        assert run_job(self._place.app, "track-expiry")
        self._expected.let_lapse(now_utc())

    def _flush(self) -> None:
        self._end_pauses()
        self._write(update(OutboxMail).where(OutboxMail.state == MailState.QUEUED).values(due_at=db_now(-1)))
        for _ in range(5):
            run_job(self._place.app, "flush-outbox")
            if self._is_server_away or not self._do(has_due_mail):
                break
        if not self._is_server_away:
            self._expected.send(now_utc())
        self._read_mails()

    def _end_pauses(self) -> None:
        is_paused = MailServerState.paused_until.is_not(None)
        self._write(update(MailServerState).where(is_paused).values(paused_until=db_now(-1)))

    def _let_server_return(self) -> None:
        if self._is_server_away:
            self._place.smtp.come_back()
            self._is_server_away = False

    # What has to be

    def _check(self) -> None:
        at, expected = now_utc(), self._expected
        shown = {row[5]: row for row in self._table()}
        assert shown.keys() == expected.clients.keys(), f"rows: {sorted(shown)}"
        for email, client in expected.clients.items():
            client_id, status, delivery, link, company, _ = shown[email]
            client.id = client.id or client_id
            assert client_id == client.id, f"{email} is another client"
            found = (unescape(company), status, delivery, link or None)
            assert found == client.shown(at), f"{email}: {found} instead of {client.shown(at)}"
        histories = self._histories()
        for client in expected.everybody:
            assert histories.pop(client.id) == client.events, f"the history of {client.email}, not {client.events}"
        assert not histories, "a history of nobody"
        assert self._roles() == expected.roles, f"roles: {self._roles()}"
        accounts = {one.email: one.is_verified for one in expected.accounts.values()}
        assert self._accounts() == accounts, f"accounts: {self._accounts()}"
        assert self._rows_of(self._other) == self._others, "the other portal has changed"
        self._check_team()
        self._check_links()

    def _check_team(self) -> None:
        """What ought to be of the team; see `team_rules.py`."""
        raise NotImplementedError

    def _check_links(self) -> None:
        """Somebody, each in turn, opens all the links they were ever sent: at most one of a kind works."""
        if not self._links:
            return
        subject = self.links[self.steps_gone % len(self.links)].of
        for link in [link for link in self.links if link.of is subject]:
            self._see(self._nobody, link)

    def _see(self, browser: Browser, link: Link) -> None:
        answer, state = browser.get(link.path), link.state()
        wanted = {"valid": 200, "gone": 404}.get(state, 410)
        assert status_of(answer) == wanted, f"{link}: {answer.status_code}"
        assert wanted != 410 or SAYS[link.kind][state] in unescape(answer.text), f"{link}: another reason"

    def _read_mails(self) -> None:
        """Each mail that was taken is one that ought to have been, and none was taken twice."""
        history = list(self._place.smtp.history)
        clients = {client.id.replace("-", ""): client for client in self._expected.everybody}
        colleagues = {one.id.replace("-", ""): one for one in self._expected.team.invitations}
        with self._place.app.app_context():
            for mail in history[self._seen_mails :]:
                if mail.verdict != "taken" or not mail.links:
                    continue  # one without a link is a notice of a role
                (url,) = mail.links
                (recipient,) = mail.recipients
                _, kind, token = url.rsplit("/", 2)
                claim = read_token(LinkKind(kind), token)
                assert claim is not None, f"a mail to {recipient} with a link that nobody made"
                of: Client | Account | Colleague | None
                if kind in (INVITATION, COLLEAGUE):
                    of = (clients if kind == INVITATION else colleagues).get(claim.subject.rpartition(".")[2])
                else:
                    user = db.session.get(User, int(claim.subject))
                    of = self._expected.accounts.get(user.email) if user else None
                assert of is not None, f"a mail to {recipient}, who is nobody"
                path = f"/{kind}/{token}"
                assert path not in self._links, f"{recipient} got a mail twice"
                self._links[path] = Link(path, kind, of, claim.generation)
                subject = of.email if isinstance(of, Account) else of.id
                self._mailed[Mailed(recipient, kind, subject, claim.generation)] += 1
        self._seen_mails = len(history)
        assert self._mailed == self._expected.mailed, (
            f"mailed too much: {self._mailed - self._expected.mailed}, "
            f"too little: {self._expected.mailed - self._mailed}"
        )

    # What they need

    def _act(
        self,
        method: str,
        path: str,
        form: dict[str, Any] | None = None,
        *,
        htmx: bool,
        done: int | None = None,
    ) -> bool:
        """The admin does something; returns whether it is done. `done` is the answer when it ought not to be."""
        wanted = 403 if not self._is_admin else done or (200 if htmx else 303)
        answer = self._browser(self._ada).send(method, path, form, htmx=htmx)
        assert status_of(answer) == wanted, f"answered with {answer.status_code} instead of {wanted}"
        return self._is_admin and done is None

    def _done_to(self, client: Client) -> int | None:
        """What resend, remove and correct are answered with, if they ought to be refused."""
        return 404 if client.is_removed else 409 if client.is_joined else None

    def _named(self, who: str, link: Link) -> str | None:
        """The address of this one, if there is an account of theirs."""
        email = {"olaf": self._olaf, "the owner": link.of.email}.get(who)
        return email if email in self._expected.accounts else None

    def _as(self, who: str | None) -> Browser:
        return self._nobody if who is None else self._browser(who)

    def _browser(self, email: str) -> Browser:
        for gone in self._browsers.keys() - self._expected.accounts.keys():
            del self._browsers[gone]
        if email not in self._browsers:
            browser = Browser(self._place.app)
            # With the one password there is: whoever registers for an address with an account changes nothing.
            assert status_of(browser.sign_in(email, PASSWORD)) == 303, f"{email} cannot sign in"
            self._browsers[email] = browser
        return self._browsers[email]

    def _table(self, query: str = "?") -> Sequence[tuple[str, ...]]:
        answer = self._browser(self._ada).get(f"{ic(self._portal)}/table{query}&size=100", headers=HTMX)
        assert status_of(answer) == 200, answer.status_code
        rows = _ROW.findall(answer.text)
        assert len(rows) == answer.text.count("data-client-id="), "a row that is written in another way"
        return rows

    @contextmanager
    def _nothing_changes(self) -> Iterator[None]:
        before = self._rows_of(self._portal)
        yield
        assert self._rows_of(self._portal) == before, "something was changed"

    def _rows_of(self, portal_id: str) -> list[str]:
        """Everything that a portal has in the database, but for its audit trail, which tells of sign-ins too."""

        def read() -> list[str]:
            found = []
            for table in db.metadata.sorted_tables:
                key = table.c.get("portal_id", table.c.id if table.name == "portal" else None)
                if key is not None and not table.name.startswith("audit_"):
                    columns = [column for column in table.c if column.name != "last_seen_at"]
                    query = select(*columns).where(key == portal_id).order_by(*table.primary_key)
                    rows = db.session.execute(query).all()
                    found += [f"{table.name}: {tuple(row)}" for row in rows]
            return found

        return list(self._do(read))

    def _histories(self) -> dict[str, list[str]]:
        query = select(ClientEvent.client_id, ClientEvent.kind).where(ClientEvent.portal_id == self._portal)
        found: dict[str, list[str]] = {}
        for client_id, kind in self._do(lambda: db.session.execute(query.order_by(ClientEvent.id)).all()):
            found.setdefault(str(client_id), []).append(kind.value)
        return found

    def _roles(self) -> dict[str, str]:
        query = select(User.email, Membership.role).join(Membership, Membership.user_id == User.id)
        query = query.where(Membership.portal_id == self._portal)
        return {email: role.value for email, role in self._do(lambda: db.session.execute(query).all())}

    def _accounts(self) -> dict[str, bool]:
        query = select(User).where(User.email.endswith(self._domain))
        return {user.email: user.is_verified for user in self._do(lambda: db.session.scalars(query).all())}

    def _write(self, statement: Any) -> None:
        def write() -> None:
            with transaction() as session:
                session.execute(statement)

        self._do(write)


def now_utc() -> datetime:
    return datetime.now(UTC)


def status_of(answer: TestResponse) -> int:
    assert answer.status_code < 500, f"answered with {answer.status_code}"
    return answer.status_code
