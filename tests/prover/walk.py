"""People do whatever occurs to them, one thing after the other, and after each the whole portal is as it ought to be.

A walk is fifty steps that its seed decides, in a new portal with another one beside it, over HTTP, with a mail server
that takes, refuses and is away, and a clock that moves on. `expected.py` says what ought to be. A walk that fails says
its seed and every step until then; `Walks(place).walk(seed)` goes the same way again.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from io import BytesIO
from typing import Any

import time_machine
from argon2 import PasswordHasher
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from app.clock import db_now
from app.database import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.links import LinkKind, read_token
from app.models import ClientEvent, ImportedClient, MailServerState, MailState, Membership, OutboxMail, Role, User
from app.outbox.queue import has_due_mail
from app.portals.services import grant_role
from tests.prover.expected import INVITATION, VERIFICATION, Account, Client, Expected, Mailed
from tests.prover.installation import Installation
from tests.support.browser import HTMX, Browser, ic
from tests.support.factories import PASSWORD, invite, make_member, make_portal, make_user

STEPS = 50
_BETWEEN_STEPS = timedelta(seconds=6)

_NEVER, _NOT_NOW, _NOT_TWICE = "rcpt-550.", "rcpt-450.x1.", "end-451.x2."
_NAMES = ["anna", "bo", "carl", "dora", "edda", "both", "owner", "staff"]
_NAMES += [f"{_NEVER}f", f"{_NEVER}g", f"{_NOT_NOW}h", f"{_NOT_TWICE}i"]
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


@dataclass(frozen=True)
class Link:
    """A link that was mailed, and what it stands for."""

    path: str
    kind: str
    of: Client | Account
    generation: int

    def state(self) -> str:
        return self.of.link_state(self.generation, _now())


class Walks:
    """Walks in one installation, each in portals of its own."""

    def __init__(self, place: Installation) -> None:
        self._place = place
        self._number = 0

    def walk(self, seed: int) -> None:
        self._number += 1
        with time_machine.travel(datetime.now(UTC), tick=True) as clock:
            walk = _Walk(self._place, self._number, random.Random(seed), clock)
            try:
                walk.run()
            except Exception as error:
                trail = "\n".join(f"{n:3} {step}" for n, step in enumerate(walk.trail, 1))
                raise AssertionError(f"the walk with seed {seed}: {error!r}\n{trail}") from error


class _Walk:
    def __init__(self, place: Installation, number: int, chance: random.Random, clock: Any) -> None:
        self._place = place
        self._do = place.backstage.do
        self._chance = chance
        self._clock = clock
        self._domain = f"@{number}.walk.test"
        self._portal, self._other = f"walk-{number}", f"walk-{number}-other"
        self._pool = [f"{name}{self._domain}" for name in _NAMES]
        self._ada, self._olaf = f"ada{self._domain}", f"olaf{self._domain}"
        self._expected = Expected()
        self._is_admin = True
        self._is_server_away = False
        self._nobody = Browser(place.app)
        self._browsers: dict[str, Browser] = {}
        self._links: dict[str, Link] = {}
        self._mailed: Counter[Mailed] = Counter()
        self._seen_mails = 0
        self.trail: list[str] = []

    def run(self) -> None:
        self._furnish()
        rules = [rule for rule, weight in _RULES.items() for _ in range(weight)]
        for _ in range(STEPS):
            # Nobody presses twice, or too often.
            self._clock.shift(_BETWEEN_STEPS)
            self._place.backstage.forget_limits()
            # A rule that has nothing to act on passes, and another one is asked.
            while not self._chance.choice(rules)(self):
                pass
            self._check()
        self._end()

    def _furnish(self) -> None:
        expected = self._expected
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

    def _end(self) -> None:
        """The mail server is back, what waits goes out, and no dead link has been forgotten."""
        self.server_returns()
        while self._expected.waits:
            self.flush()
        self._check()
        self._note("everybody tries every link that is dead")
        for link in self._links.values():
            if link.state() != "valid":
                self._post_link(link, None)
        self._check()

    # What admins do

    def add(self) -> bool:
        new = [email for email in self._pool if email not in self._expected.clients]
        email = self._chance.choice(new if new and self._chance.random() < 0.8 else self._pool)
        company = self._chance.choice(_COMPANIES)
        self._note(f"add {email}")
        if self._act("POST", ic(self._portal), {"company_name": company, "email": email}):
            self._expected.add(company, email)
        return True

    def add_nonsense(self) -> bool:
        self._note("add nonsense")
        form = {"company_name": "<b>", "email": "nobody at all"}
        self._act("POST", ic(self._portal), form, done=422)
        return True

    def bring_in(self) -> bool:
        new = [email for email in self._pool if email not in self._expected.clients]
        chosen = self._chance.sample(new, min(len(new), self._chance.randint(1, 4)))
        if not chosen:
            return False
        self._note(f"import {chosen}")
        if self._act("POST", f"{ic(self._portal)}/import", _file(chosen), htmx=True):
            for email in chosen:
                self._expected.add("Imported Ltd", email)
        return True

    def bring_in_a_bad_file(self) -> bool:
        new = [email for email in self._pool if email not in self._expected.clients][:2]
        bad = self._chance.choice([*self._expected.clients, "nobody at all", f"two{self._domain}"])
        rows = [*new, bad, *([bad] if bad.startswith("two") else [])]
        self._note(f"import the bad file {rows}")
        self._act("POST", f"{ic(self._portal)}/import", _file(rows), done=422)
        return True

    def resend(self) -> bool:
        client = self._anybody()
        if client is None:
            return False
        self._note(f"resend {client.email}")
        if self._act("POST", f"{ic(self._portal)}/{client.id}/resend", done=self._done_to(client)):
            self._expected.invite_again(client)
        return True

    def remove(self) -> bool:
        client = self._anybody()
        if client is None:
            return False
        self._note(f"remove {client.email}")
        method, path = self._chance.choice([("DELETE", ""), ("POST", "/remove")])
        if self._act(method, f"{ic(self._portal)}/{client.id}{path}", done=self._done_to(client)):
            self._expected.remove(client)
        return True

    def correct(self) -> bool:
        client = self._anybody()
        if client is None:
            return False
        email = self._chance.choice([client.email, *self._pool])
        company = self._chance.choice([client.company_name, *_COMPANIES])
        self._note(f"correct {client.email} into {email}, {company}")
        done = self._done_to(client)
        if done is None and email != client.email and email in self._expected.clients:
            done = 422
        form = {"company_name": company, "email": email}
        if self._act("POST", f"{ic(self._portal)}/{client.id}/correct", form, done=done):
            self._expected.correct(client, company, email)
        return True

    def resend_several(self) -> bool:
        return self._do_to_several("resend", self._expected.invite_again)

    def remove_several(self) -> bool:
        return self._do_to_several("remove", self._expected.remove)

    def _do_to_several(self, verb: str, do: Callable[[Client], None]) -> bool:
        everybody = self._expected.everybody
        chosen = self._chance.sample(everybody, min(len(everybody), self._chance.randint(1, 4)))
        if not chosen:
            return False
        self._note(f"{verb} all of {[client.email for client in chosen]}")
        pending = [client for client in chosen if self._done_to(client) is None]
        form = {"client_id": " ".join(client.id for client in chosen)}
        if self._act("POST", f"{ic(self._portal)}/bulk/{verb}", form, done=None if pending else 409):
            for client in pending:
                do(client)
        return True

    def read(self) -> bool:
        """Pages, questions and files: they show what is there, and change nothing."""
        term = self._chance.choice(["a", "walk", "rcpt", "%"])
        status = self._chance.choice(["invite_sent", "joined"])
        self._note(f"read what has {term} and is {status}")
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
        return True

    def demote(self) -> bool:
        """The admin is staff from now on, or admin again, without signing in anew."""
        self._is_admin = not self._is_admin
        self._note(f"the admin is {'admin again' if self._is_admin else 'staff'}")
        role = Role.CLIENT_ADMIN if self._is_admin else Role.STAFF
        self._do(grant_role, self._portal, self._ada, role)
        self._expected.roles[self._ada] = role.value
        return True

    def restore(self) -> bool:
        return not self._is_admin and self.demote()

    # What others try

    def trespass(self) -> bool:
        """Somebody who has no say here tries everything with a client, and the other portal's admin there as well."""
        client = self._anybody()
        if client is None:
            return False
        who = self._chance.choice([self._olaf, *self._expected.accounts])
        if who == self._ada:
            return False
        self._note(f"{who} tries everything with {client.email}")
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
                found = _status(browser.send(method, path, fields, htmx=self._chance.random() < 0.5))
                assert found == wanted, f"{method} {path}: {found} instead of {wanted}"
        return True

    # What invitees do

    def open_link(self) -> bool:
        """A mail scanner, or a person who only looks."""
        if not self._links:
            return False
        link = self._any_link()
        self._note(f"open {_named(link)}")
        browser = self._as(self._anyone_for(link))
        with self._nothing_changes():
            self._see(browser, link)
            assert browser.client.head(link.path, headers={}).status_code < 500
            browser.get(link.path, htmx=True)
        return True

    def register(self) -> bool:
        link = self._a_live_link(INVITATION, lambda link: link.of.email not in self._expected.accounts)
        return link is not None and self._follow(link, None)

    def accept(self) -> bool:
        link = self._a_live_link(INVITATION, lambda link: link.of.email in self._expected.accounts)
        return link is not None and self._follow(link, link.of.email)

    def verify(self) -> bool:
        link = self._a_live_link(VERIFICATION)
        return link is not None and self._follow(link, None)

    def press_any(self) -> bool:
        """Any link at all, by anyone: most are dead, or somebody else's."""
        if not self._links:
            return False
        link = self._any_link()
        return self._follow(link, self._anyone_for(link))

    def ask_for_verification(self) -> bool:
        accounts = [one for one in self._expected.accounts.values() if not one.is_verified and one.generation < 5]
        if not accounts:
            return False
        account = self._chance.choice(accounts)
        self._note(f"{account.email} asks for another verification mail")
        assert _status(self._browser(account.email).post("/verify-email")) == 303
        self._expected.ask_for_verification(account)
        return True

    def _follow(self, link: Link, who: str | None) -> bool:
        self._note(f"{who or 'somebody'} presses the button of {_named(link)}")
        self._post_link(link, who)
        return True

    def _post_link(self, link: Link, who: str | None) -> None:
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

    def flush(self) -> bool:
        if not self._expected.waits and self._chance.random() < 0.8:
            return False
        self._note("flush" + (", in vain" if self._is_server_away else ""))
        # Every pause is over.
        self._write(update(OutboxMail).where(OutboxMail.state == MailState.QUEUED).values(due_at=db_now(-1)))
        self._write(
            update(MailServerState).values(paused_until=db_now(-1)).where(MailServerState.paused_until.is_not(None))
        )
        for _ in range(5):
            run_job(self._place.app, "flush-outbox")
            if self._is_server_away or not self._do(has_due_mail):
                break
        if not self._is_server_away:
            self._expected.send(_now())
        self._read_mails()
        return True

    def server_leaves(self) -> bool:
        if self._is_server_away:
            return False
        self._note("the mail server goes away")
        self._place.smtp.go_away()
        self._is_server_away = True
        return True

    def server_returns(self) -> bool:
        if not self._is_server_away:
            return False
        self._note("the mail server comes back")
        self._place.smtp.come_back()
        self._is_server_away = False
        return True

    def time_passes(self) -> bool:
        move = self._chance.choice(_MOVES)
        self._note(f"{move} pass")
        self._clock.shift(move)
        # Everybody signs in again: sessions have ended, or might have. So has, after a month, that of nobody.
        self._browsers.clear()
        self._nobody.forget_csrf_token()
        return True

    def track_expiry(self) -> bool:
        self._note("track expiry")
        assert run_job(self._place.app, "track-expiry")
        self._expected.let_lapse(_now())
        return True

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
        """Somebody, whom chance names, opens all the links they were ever sent: at most one of a kind works."""
        if not self._links:
            return
        subject = self._any_link().of
        for link in [link for link in self._links.values() if link.of is subject]:
            self._see(self._nobody, link)

    def _see(self, browser: Browser, link: Link) -> None:
        answer, state = browser.get(link.path), link.state()
        wanted = {"valid": 200, "gone": 404}.get(state, 410)
        assert _status(answer) == wanted, f"{_named(link)}: {answer.status_code}"
        assert wanted != 410 or _SAYS[link.kind][state] in unescape(answer.text), f"{_named(link)}: another reason"

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

    def _note(self, step: str) -> None:
        self.trail.append(step)

    def _act(
        self,
        method: str,
        path: str,
        form: dict[str, Any] | None = None,
        *,
        done: int | None = None,
        htmx: bool | None = None,
    ) -> bool:
        """The admin does something; returns whether it is done. `done` is the answer when it ought not to be."""
        is_htmx = self._chance.random() < 0.5 if htmx is None else htmx
        wanted = 403 if not self._is_admin else done or (200 if is_htmx else 303)
        answer = self._browser(self._ada).send(method, path, form, htmx=is_htmx)
        assert _status(answer) == wanted, f"answered with {answer.status_code} instead of {wanted}"
        return self._is_admin and done is None

    def _done_to(self, client: Client) -> int | None:
        """What resend, remove and correct are answered with, if they ought to be refused."""
        return 404 if client.is_removed else 409 if client.is_joined else None

    def _anybody(self) -> Client | None:
        """Most often somebody in the table."""
        clients = list(self._expected.clients.values())
        if self._expected.removed and self._chance.random() < 0.1:
            clients = self._expected.removed
        return self._chance.choice(clients) if clients else None

    def _any_link(self) -> Link:
        return self._chance.choice(list(self._links.values()))

    def _a_live_link(self, kind: str, fits: Callable[[Link], bool] = lambda _: True) -> Link | None:
        found = [link for link in self._links.values() if link.kind == kind and link.state() == "valid" and fits(link)]
        return self._chance.choice(found) if found else None

    def _anyone_for(self, link: Link) -> str | None:
        owner = [link.of.email] if link.of.email in self._expected.accounts else []
        return self._chance.choice([None, self._olaf, *owner])

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
        """Everything that a portal has in the database, and the accounts of this walk."""

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


_RULES: dict[Callable[[_Walk], bool], int] = {
    _Walk.add: 7,
    _Walk.add_nonsense: 1,
    _Walk.bring_in: 5,
    _Walk.bring_in_a_bad_file: 2,
    _Walk.resend: 6,
    _Walk.remove: 4,
    _Walk.correct: 6,
    _Walk.resend_several: 2,
    _Walk.remove_several: 1,
    _Walk.read: 1,
    _Walk.demote: 1,
    _Walk.restore: 6,
    _Walk.trespass: 2,
    _Walk.open_link: 3,
    _Walk.register: 12,
    _Walk.accept: 8,
    _Walk.verify: 14,
    _Walk.press_any: 6,
    _Walk.ask_for_verification: 2,
    _Walk.flush: 12,
    _Walk.server_leaves: 1,
    _Walk.server_returns: 12,
    _Walk.time_passes: 5,
    _Walk.track_expiry: 5,
}


def _now() -> datetime:
    return datetime.now(UTC)


def _status(answer: TestResponse) -> int:
    assert answer.status_code < 500, f"answered with {answer.status_code}"
    return answer.status_code


def _file(emails: Sequence[str]) -> dict[str, Any]:
    data = "\r\n".join(["company_name,email", *(f"Imported Ltd,{email}" for email in emails)]).encode()
    return {"file": (BytesIO(data), "clients.csv")}


def _named(link: Link) -> str:
    return f"{link.of.email}'s {link.kind} link {link.generation}, which is {link.state()}"
