"""People do whatever occurs to them, one thing after the other, and after each the whole portal is as it ought to be.

A scenario is fifty steps that Hypothesis chooses, in a new portal with another one beside it, over HTTP, with a mail
server that takes, refuses and is away, and a clock that moves on. `model.py` says what ought to be. Of a scenario that
fails Hypothesis tells the shortest version that it finds, and a line `@reproduce_failure(…)`: above `machine` in
`run_scenarios` it runs that one again.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from io import BytesIO
from itertools import count
from typing import Any

import time_machine
from argon2 import PasswordHasher
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select, update
from werkzeug.test import TestResponse

from app.core.links import LinkKind, read_token
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import ClientEvent, ImportedClient, MailServerState, MailState, Membership, OutboxMail, Role, User
from app.models.types import db_now
from app.outbox.queue import has_due_mail
from app.portals.service import grant_role
from tests.crash.installation import Installation
from tests.crash.model import INVITATION, VERIFICATION, Account, Client, Expected, Mailed
from tests.support.browser import HTMX, Browser, ic
from tests.support.factories import PASSWORD, invite, make_member, make_portal, make_user

STEPS = 50
SETTINGS = {"OUTBOX_CONNECTIONS": "2", "QUEUE_FIRST_RETRY_SECONDS": "60", "QUEUE_LONGEST_RETRY_SECONDS": "60"}
"""Of the installation: with two connections, and on a slow machine too no mail is tried twice in one flush."""
_BETWEEN_STEPS = timedelta(seconds=6)
_STEPS_BETWEEN_WORK = 5
_NUMBERS = count(1)

_NEVER, _NOT_NOW, _NOT_TWICE = "rcpt-550.", "rcpt-450.x1.", "end-451.x2."
_NAMES = ["anna", "bo", "carl", "dora", "edda", "both", "owner", "staff"]
_NAMES += [f"{_NEVER}f", f"{_NEVER}g", f"{_NOT_NOW}h", f"{_NOT_TWICE}i"]
_NONSENSE = "nobody at all"
_COMPANIES = ["Nordwind Reisen", "Blue Lagoon Ltd", "Océan & Fils", "Łódź Travel"]
_MOVES = [timedelta(hours=5), timedelta(hours=26), timedelta(days=3), timedelta(days=6, hours=20)]
_MOVES += [timedelta(days=8)] * 2
_QUICK_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
_SAYS = {
    INVITATION: {
        "expired": "This invitation has expired",
        "replaced": "This invitation was replaced by a newer one",
        "withdrawn": "This invitation was withdrawn",
        "used": "This invitation was already used",
    },
    VERIFICATION: {
        "expired": "This link has expired",
        "replaced": "This link was used or replaced",
        "used": "Your e-mail is verified already",
    },
}
_ROW = re.compile(
    r'<tr id="client-[^"]+" data-client-id="([^"]+)" data-status="([^"]+)" data-delivery="([^"]+)"'
    r'(?: data-link="([^"]+)")?>.*?data-opener="history-[^>]*>([^<]*)</a>.*?<td data-col="email">([^<\s]+)',
    re.DOTALL,
)


@dataclass(frozen=True, repr=False)
class Link:
    """A link that was mailed, and what it stands for."""

    path: str
    kind: str
    of: Client | Account
    generation: int

    def __repr__(self) -> str:
        return f"<{self.of}'s {self.kind} link {self.generation}, which is {self.state()}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis prints it."""
        printer.text(repr(self))

    def state(self) -> str:
        return self.of.link_state(self.generation, _now())


def run_scenarios(place: Installation, scenarios: int, number: int, *, steps: int = STEPS) -> int:
    """Run so many scenarios in one installation, of which the number decides which; returns how many were whole.

    One more comes before them, for Hypothesis begins with the simplest one there is. It also ends some early.
    """
    gone: list[People] = []

    @seed(number)
    def machine() -> People:
        gone.append(People(place))
        return gone[-1]

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=scenarios + 1,
            stateful_step_count=steps,
            phases=[Phase.generate, Phase.shrink],
            deadline=None,
            database=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return sum(people.steps_gone >= steps for people in gone)


def _one_of(choose: Callable[[Any], Sequence[Any]]) -> st.SearchStrategy[Any]:
    """One of what there is by then, which is asked of the machine."""
    return st.runner().flatmap(lambda people: st.sampled_from(choose(people)))


def _some_of(choose: Callable[[Any], Sequence[Any]], *, least: int = 1) -> st.SearchStrategy[Any]:
    """Up to four of what there is by then."""
    return st.runner().flatmap(
        lambda people: st.lists(st.sampled_from(choose(people)), min_size=least, max_size=4, unique=True)
    )


_HTMX = st.booleans()
_COMPANY = st.sampled_from(_COMPANIES)
_NEW = _some_of(lambda people: people.new)
_CLIENT = _one_of(lambda people: people.anybody)
_LINK = _one_of(lambda people: people.links)
_WHO = st.sampled_from(["nobody", "olaf", "the owner"])


class People(RuleBasedStateMachine):
    """Everybody who has to do with a portal, and what happens there by itself."""

    def __init__(self, place: Installation) -> None:
        super().__init__()
        number = next(_NUMBERS)
        self._place = place
        self._do = place.app_driver.do
        self._domain = f"@{number}.random.test"
        self._portal, self._other = f"random-{number}", f"random-{number}-other"
        self._pool = [f"{name}{self._domain}" for name in _NAMES]
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

    @initialize(invited=_some_of(lambda people: people._pool, least=0))
    def furnish(self, invited: list[str]) -> None:
        """Two portals with their people, of which the first has invited these."""
        expected = self._expected
        # Another scenario may have left mails behind, and a pause that its clock has set far ahead.
        self._write(delete(OutboxMail))
        self._end_pauses()
        for portal_id, name in (self._portal, "Harbour Tours"), (self._other, "Alpine Stays"):
            self._do(make_portal, portal_id, name)
        self._do(make_member, self._portal, self._ada, "Ada Berg", Role.CLIENT_ADMIN)
        self._do(make_member, self._portal, f"staff{self._domain}", "Sam Lund", Role.STAFF)
        self._do(make_member, self._other, self._olaf, "Olaf Nyman", Role.CLIENT_ADMIN)
        self._do(make_user, f"owner{self._domain}", "Otto Owner")
        # Their passwords are as good as any, but quick to check: they sign in whenever time has passed. Whoever
        # registers has a real one.
        self._write(update(User).where(User.email.endswith(self._domain)).values(password_hash=_QUICK_HASH))
        for email in (self._ada, self._olaf, f"owner{self._domain}", f"staff{self._domain}"):
            expected.accounts[email] = Account(email, is_verified=True)
        expected.roles = {self._ada: "client_admin", f"staff{self._domain}": "staff"}
        for email in self._pool:
            expected.refusals[email] = 1 if _NOT_NOW in email else 2 if _NOT_TWICE in email else 0
            if _NEVER in email:
                expected.refused_for_good.add(email)
        # The other portal has invited two for ever, of whom one may be invited here too.
        for name in ("both", "theirs"):
            self._do(invite, self._other, f"{name}{self._domain}", actor=self._olaf)
        run_job(self._place.app, "flush-outbox")
        theirs = ImportedClient.portal_id == self._other
        self._write(update(ImportedClient).where(theirs).values(link_expires_at=_now() + timedelta(days=9999)))
        self._seen_mails = len(self._place.smtp.history)
        self._others = self._rows_of(self._other)
        for email in invited:
            self._do(invite, self._portal, email, actor=self._ada)
            expected.add(_COMPANIES[0], email)
        self._check()
        self._flush()

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
    def links(self) -> list[Link]:
        """All of them, in an order that has nothing to do with which of two connections was quicker."""
        return sorted(self._links.values(), key=lambda link: (link.of.email, link.kind, link.generation))

    @property
    def invitations_of_strangers(self) -> list[Link]:
        return [link for link in self._live_links(INVITATION) if link.of.email not in self._expected.accounts]

    @property
    def invitations_of_users(self) -> list[Link]:
        return [link for link in self._live_links(INVITATION) if link.of.email in self._expected.accounts]

    @property
    def verifications(self) -> list[Link]:
        return self._live_links(VERIFICATION)

    @property
    def unverified(self) -> list[Account]:
        return [one for one in self._expected.accounts.values() if not one.is_verified and one.generation < 5]

    @property
    def others(self) -> list[str]:
        """Whoever has an account, and is not the admin."""
        return [self._olaf, *(email for email in self._expected.accounts if email != self._ada)]

    def _live_links(self, kind: str) -> list[Link]:
        return [link for link in self.links if link.kind == kind and link.state() == "valid"]

    # What admins do

    @rule(
        email=_one_of(lambda people: 3 * people.new + [*people._pool, _NONSENSE]),
        company=_COMPANY,
        htmx=_HTMX,
    )
    def add(self, email: str, company: str, htmx: bool) -> None:
        form = {"company_name": "<b>" if email == _NONSENSE else company, "email": email}
        if self._act("POST", ic(self._portal), form, done=422 if email == _NONSENSE else None, htmx=htmx):
            self._expected.add(company, email)

    @precondition(lambda people: people.new)
    @rule(emails=_NEW)
    def bring_in(self, emails: list[str]) -> None:
        if self._act("POST", f"{ic(self._portal)}/import", _file(emails), htmx=True):
            for email in emails:
                self._expected.add("Imported Ltd", email)

    @rule(bad=_one_of(lambda people: [_NONSENSE, "twice", *people._expected.clients]), htmx=_HTMX)
    def bring_in_a_bad_file(self, bad: str, htmx: bool) -> None:
        two = f"two{self._domain}"
        rows = [*self.new[:2], *([two, two] if bad == "twice" else [bad])]
        self._act("POST", f"{ic(self._portal)}/import", _file(rows), done=422, htmx=htmx)

    @precondition(lambda people: people.anybody)
    @rule(client=_CLIENT, htmx=_HTMX)
    def resend(self, client: Client, htmx: bool) -> None:
        path = f"{ic(self._portal)}/{client.id}/resend"
        if self._act("POST", path, done=self._done_to(client), htmx=htmx):
            self._expected.invite_again(client)

    @precondition(lambda people: people.anybody)
    @rule(client=_CLIENT, how=st.sampled_from([("DELETE", ""), ("POST", "/remove")]), htmx=_HTMX)
    def remove(self, client: Client, how: tuple[str, str], htmx: bool) -> None:
        method, path = how
        if self._act(method, f"{ic(self._portal)}/{client.id}{path}", done=self._done_to(client), htmx=htmx):
            self._expected.remove(client)

    @precondition(lambda people: people.anybody)
    @rule(
        client=_CLIENT,
        email=_one_of(lambda people: [None, *people._pool]),
        company=st.none() | _COMPANY,
        htmx=_HTMX,
    )
    def correct(self, client: Client, email: str | None, company: str | None, htmx: bool) -> None:
        """What is not said stays as it is."""
        email, company = email or client.email, company or client.company_name
        done = self._done_to(client)
        if done is None and email != client.email and email in self._expected.clients:
            done = 422
        form = {"company_name": company, "email": email}
        if self._act("POST", f"{ic(self._portal)}/{client.id}/correct", form, done=done, htmx=htmx):
            self._expected.correct(client, company, email)

    @precondition(lambda people: people.anybody)
    @rule(
        verb=st.sampled_from(["resend", "resend", "remove"]),
        clients=_some_of(lambda people: people._expected.everybody),
        htmx=_HTMX,
    )
    def do_to_several(self, verb: str, clients: list[Client], htmx: bool) -> None:
        do = self._expected.invite_again if verb == "resend" else self._expected.remove
        pending = [client for client in clients if self._done_to(client) is None]
        form = {"client_id": " ".join(client.id for client in clients)}
        path = f"{ic(self._portal)}/bulk/{verb}"
        if self._act("POST", path, form, done=None if pending else 409, htmx=htmx):
            for client in pending:
                do(client)

    @precondition(lambda people: people.anybody)
    @rule(term=st.sampled_from(["a", "random", "rcpt", "%"]), status=st.sampled_from(["invite_sent", "joined"]))
    def read(self, term: str, status: str) -> None:
        """Pages, questions and files: they show what is there, and change nothing."""
        query = f"?email={term.replace('%', '%25')}&status={status}"
        clients = self._expected.clients.values()
        found = {c.email for c in clients if term in c.email and c.shown(_now())[1] == status}
        browser = self._browser(self._ada)
        with self._nothing_changes():
            assert {row[5] for row in self._table(query)} == found, "the filter finds others"
            exported = browser.get(f"{ic(self._portal)}/export.csv{query}")
            assert _status(exported) == 200
            assert len(exported.text.strip().splitlines()) == 1 + len(found), "the file holds others"
            paths = {"", "/weeks", "/template.csv", "/imports"} | {f"/{c.id}/history" for c in clients}
            for path in sorted(paths):
                assert _status(browser.get(f"{ic(self._portal)}{path}")) == 200, path
            for path in ("/new", "/import"):
                assert _status(browser.get(f"{ic(self._portal)}{path}")) == (200 if self._is_admin else 403), path
            for client in clients:
                wanted = 403 if not self._is_admin else 409 if client.is_joined else 200
                for page in ("remove", "correct"):
                    assert _status(browser.get(f"{ic(self._portal)}/{client.id}/{page}")) == wanted, page

    @precondition(lambda people: people._is_admin)
    @rule(steps=st.integers(1, 4))
    def demote(self, steps: int) -> None:
        """The admin is staff for a while, and then admin again, without signing in anew."""
        self._staff_until = self.steps_gone + steps
        self._be(Role.STAFF)

    def _be(self, role: Role) -> None:
        self._is_admin = role is Role.CLIENT_ADMIN
        self._do(grant_role, self._portal, self._ada, role)
        self._expected.roles[self._ada] = role.value

    # What others try

    @precondition(lambda people: people.anybody)
    @rule(client=_CLIENT, who=_one_of(lambda people: people.others), htmx=_HTMX)
    def trespass(self, client: Client, who: str, htmx: bool) -> None:
        """Somebody who has no say here tries everything with a client, and the other portal's admin there as well."""
        browser = self._browser(who)
        role = self._expected.roles.get(who)
        if not self._expected.accounts[who].is_verified:
            role = None
        refusal = 404 if role is None else 403
        form = {"company_name": "Stolen Ltd", "email": f"stolen{self._domain}"}
        ours = f"{ic(self._portal)}"
        tries: list[tuple[str, str, dict[str, str], int]] = [
            ("POST", ours, form, refusal),
            ("POST", f"{ours}/bulk/remove", {"client_id": client.id}, refusal),
        ]
        for portal, wanted in (ours, refusal), *([(ic(self._other), 404)] if who == self._olaf else []):
            tries += [
                ("POST", f"{portal}/{client.id}/resend", {}, wanted),
                ("POST", f"{portal}/{client.id}/correct", form, wanted),
                ("GET", f"{portal}/{client.id}/remove", {}, wanted),
                ("DELETE", f"{portal}/{client.id}", {}, wanted),
            ]
        if who == self._olaf:
            tries.append(("POST", f"{ic(self._other)}/bulk/resend", {"client_id": client.id}, 409))
            tries.append(("GET", f"{ours}/table", {}, 404))
        with self._nothing_changes():
            for method, path, fields, wanted in tries:
                found = _status(browser.send(method, path, fields, htmx=htmx))
                assert found == wanted, f"{method} {path}: {found} instead of {wanted}"

    # What invitees do

    @precondition(lambda people: people.links)
    @rule(link=_LINK, who=_WHO)
    def open_link(self, link: Link, who: str) -> None:
        """A mail scanner, or a person who only looks."""
        browser = self._as(self._named(who, link))
        with self._nothing_changes():
            self._see(browser, link)
            assert browser.client.head(link.path, headers={}).status_code < 500
            browser.get(link.path, htmx=True)

    @precondition(lambda people: people.invitations_of_strangers)
    @rule(link=_one_of(lambda people: people.invitations_of_strangers))
    def register(self, link: Link) -> None:
        self._press(link, None)

    @precondition(lambda people: people.invitations_of_users)
    @rule(link=_one_of(lambda people: people.invitations_of_users))
    def accept(self, link: Link) -> None:
        self._press(link, link.of.email)

    @precondition(lambda people: people.verifications)
    @rule(link=_one_of(lambda people: people.verifications))
    def verify(self, link: Link) -> None:
        self._press(link, None)

    # What all the rest lives by is likelier: a rule counts for each of its names.
    correct_2 = correct
    register_2 = register_3 = register
    accept_2 = accept
    verify_2 = verify_3 = verify

    @precondition(lambda people: people.links)
    @rule(link=_LINK, who=_WHO)
    def press_any(self, link: Link, who: str) -> None:
        """Any link at all, by anyone: most are dead, or somebody else's."""
        self._press(link, self._named(who, link))

    @precondition(lambda people: people.unverified)
    @rule(account=_one_of(lambda people: people.unverified))
    def ask_for_verification(self, account: Account) -> None:
        assert _status(self._browser(account.email).post("/verify-email")) == 303
        self._expected.ask_for_verification(account)

    def _press(self, link: Link, who: str | None) -> None:
        state = link.state()
        answer = self._as(who).post(link.path, {"name": "Nora Wind", "password": PASSWORD, "email": self._olaf})
        if state == "gone":
            assert _status(answer) == 404, f"gone, and answered with {answer.status_code}"
        elif state != "valid":
            assert _status(answer) == 410, f"{state}, and answered with {answer.status_code}"
            assert _SAYS[link.kind][state] in unescape(answer.text), f"it does not say {state}"
        elif isinstance(link.of, Account):
            assert _status(answer) == 303, answer.status_code
            self._expected.verify(link.of)
        elif link.of.email not in self._expected.accounts:
            assert _status(answer) == 303, answer.status_code
            self._expected.register(link.of)
        elif who == link.of.email and self._expected.accounts[who].is_verified:
            assert _status(answer) == 303, answer.status_code
            self._expected.join(link.of)
        else:
            assert _status(answer) == 409, answer.status_code

    # What happens by itself

    @rule()
    def flush(self) -> None:
        self._flush()

    @precondition(lambda people: people._expected.waits and not people._is_server_away)
    @rule(steps=st.integers(1, 4))
    def server_leaves(self, steps: int) -> None:
        """The mail server goes away, and comes back after so many steps."""
        self._away_until = self.steps_gone + steps
        self._place.smtp.go_away()
        self._is_server_away = True

    @precondition(lambda people: people._mailed)
    @rule(move=st.sampled_from(_MOVES))
    def time_passes(self, move: timedelta) -> None:
        self._clock.shift(move)
        # Everybody signs in again: sessions have ended, or might have. So has, after a month, that of nobody.
        self._browsers.clear()
        self._nobody.forget_csrf_token()

    time_passes_2 = time_passes
    time_passes_3 = time_passes

    @precondition(lambda people: people.anybody)
    @rule()
    def track_expiry(self) -> None:
        self._track_expiry()

    def _track_expiry(self) -> None:
        assert run_job(self._place.app, "track-expiry")
        self._expected.let_lapse(_now())

    def _flush(self) -> None:
        self._end_pauses()
        self._write(update(OutboxMail).where(OutboxMail.state == MailState.QUEUED).values(due_at=db_now(-1)))
        for _ in range(5):
            run_job(self._place.app, "flush-outbox")
            if self._is_server_away or not self._do(has_due_mail):
                break
        if not self._is_server_away:
            self._expected.send(_now())
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
        at, expected = _now(), self._expected
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
        self._check_links()

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
        assert _status(answer) == wanted, f"{link}: {answer.status_code}"
        assert wanted != 410 or _SAYS[link.kind][state] in unescape(answer.text), f"{link}: another reason"

    def _read_mails(self) -> None:
        """Each mail that was taken is one that ought to have been, and none was taken twice."""
        history = list(self._place.smtp.history)
        clients = {client.id.replace("-", ""): client for client in self._expected.everybody}
        with self._place.app.app_context():
            for mail in history[self._seen_mails :]:
                if mail.verdict != "taken":
                    continue
                (url,) = mail.links
                (recipient,) = mail.recipients
                _, kind, token = url.rsplit("/", 2)
                claim = read_token(LinkKind(kind), token)
                assert claim is not None, f"a mail to {recipient} with a link that nobody made"
                of: Client | Account | None
                if kind == INVITATION:
                    of = clients.get(claim.subject.rpartition(".")[2])
                else:
                    user = db.session.get(User, int(claim.subject))
                    of = self._expected.accounts.get(user.email) if user else None
                assert of is not None, f"a mail to {recipient}, who is nobody"
                path = f"/{kind}/{token}"
                assert path not in self._links, f"{recipient} got a mail twice"
                self._links[path] = Link(path, kind, of, claim.generation)
                subject = of.id if isinstance(of, Client) else of.email
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
        assert _status(answer) == wanted, f"answered with {answer.status_code} instead of {wanted}"
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
            assert _status(browser.sign_in(email, PASSWORD)) == 303, f"{email} cannot sign in"
            self._browsers[email] = browser
        return self._browsers[email]

    def _table(self, query: str = "?") -> Sequence[tuple[str, ...]]:
        answer = self._browser(self._ada).get(f"{ic(self._portal)}/table{query}&size=100", headers=HTMX)
        assert _status(answer) == 200, answer.status_code
        rows = _ROW.findall(answer.text)
        assert len(rows) == answer.text.count("data-client-id="), "a row that is written in another way"
        return rows

    @contextmanager
    def _nothing_changes(self) -> Iterator[None]:
        before = self._rows_of(self._portal)
        yield
        assert self._rows_of(self._portal) == before, "something was changed"

    def _rows_of(self, portal_id: str) -> list[str]:
        """Everything that a portal has in the database, and the accounts of this scenario."""

        def read() -> list[str]:
            found = []
            for table in db.metadata.sorted_tables:
                key = table.c.get("portal_id", table.c.id if table.name == "portal" else None)
                if key is not None:
                    rows = db.session.execute(select(table).where(key == portal_id).order_by(*table.primary_key)).all()
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


def _now() -> datetime:
    return datetime.now(UTC)


def _status(answer: TestResponse) -> int:
    assert answer.status_code < 500, f"answered with {answer.status_code}"
    return answer.status_code


def _file(emails: Sequence[str]) -> dict[str, Any]:
    data = "\r\n".join(["company_name,email", *(f"Imported Ltd,{email}" for email in emails)]).encode()
    return {"file": (BytesIO(data), "clients.csv")}
