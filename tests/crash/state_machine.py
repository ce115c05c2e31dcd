"""People do whatever occurs to them, one thing after the other, and after each the whole portal is as it ought to be.

A scenario is fifty steps that Hypothesis chooses, in a new portal with another one beside it, over HTTP, with a mail
server that takes, refuses and is away, and a clock that moves on. `model.py` says what ought to be. Of a scenario that
fails Hypothesis tells the shortest version that it finds, and a line `@reproduce_failure(…)`: above `machine` in
`run_scenarios` it runs that one again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from html import unescape
from typing import Any

from argon2 import PasswordHasher
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, update

from app.jobs.schedule import run_job
from app.models import ImportedClient, MailState, OutboxMail, Role, User
from app.portals.service import grant_role
from tests.crash.installation import Installation
from tests.crash.model import Account, Client
from tests.crash.portal_machine import (
    NEVER,
    NOT_NOW,
    NOT_TWICE,
    SAYS,
    Link,
    now_utc,
    status_of,
)
from tests.crash.team_rules import TeamRules
from tests.support.browser import csv_file_of, ic
from tests.support.factories import PASSWORD, invite, make_member, make_portal, make_user

STEPS = 50
SETTINGS = {"OUTBOX_CONNECTIONS": "2", "QUEUE_FIRST_RETRY_SECONDS": "60", "QUEUE_LONGEST_RETRY_SECONDS": "60"}
"""Of the installation: with two connections, and on a slow machine too no mail is tried twice in one flush."""
_NONSENSE = "nobody at all"
_COMPANIES = ["Nordwind Reisen", "Blue Lagoon Ltd", "Océan & Fils", "Łódź Travel"]
_MOVES = [timedelta(hours=5), timedelta(hours=26), timedelta(days=3), timedelta(days=6, hours=20)]
_MOVES += [timedelta(days=8)] * 2
_QUICK_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


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


class People(TeamRules):
    """Everybody who has to do with a portal, and what happens there by itself."""

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
        expected.roles.update({self._ada: "client_admin", f"staff{self._domain}": "staff"})
        for email in self._pool:
            expected.refusals[email] = 1 if NOT_NOW in email else 2 if NOT_TWICE in email else 0
            if NEVER in email:
                expected.refused_for_good.add(email)
        # The other portal has invited two for ever, of whom one may be invited here too.
        for name in ("both", "theirs"):
            self._do(invite, self._other, f"{name}{self._domain}", actor=self._olaf)
        for _try in range(5):  # on a busy machine a connection may come to nothing
            self._place.app_driver.make_due()
            run_job(self._place.app, "flush-outbox")
            if all(mail.state is MailState.SENT for mail in self._place.app_driver.mails()):
                break
        theirs = ImportedClient.portal_id == self._other
        self._write(update(ImportedClient).where(theirs).values(link_expires_at=now_utc() + timedelta(days=9999)))
        self._seen_mails = len(self._place.smtp.history)
        self._others = self._rows_of(self._other)
        for email in invited:
            self._do(invite, self._portal, email, actor=self._ada)
            expected.add(_COMPANIES[0], email)
        self._check()
        self._flush()

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
        if self._act("POST", f"{ic(self._portal)}/import", csv_file_of(emails), htmx=True):
            for email in emails:
                self._expected.add("Imported Ltd", email)

    @rule(bad=_one_of(lambda people: [_NONSENSE, "twice", *people._expected.clients]), htmx=_HTMX)
    def bring_in_a_bad_file(self, bad: str, htmx: bool) -> None:
        two = f"two{self._domain}"
        rows = [*self.new[:2], *([two, two] if bad == "twice" else [bad])]
        self._act("POST", f"{ic(self._portal)}/import", csv_file_of(rows), done=422, htmx=htmx)

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

    @precondition(lambda people: people.joined)
    @rule(client=_one_of(lambda people: people.joined), htmx=_HTMX)
    def end_access(self, client: Client, htmx: bool) -> None:
        is_client = self._expected.roles.get(client.email) == "client"
        if self._act("POST", self._access(client, "end-access"), done=None if is_client else 409, htmx=htmx):
            self._expected.end_access(client)
            # Their session has ended, since they are in no other portal.
            self._browsers.pop(client.email, None)

    @precondition(lambda people: people.joined)
    @rule(client=_one_of(lambda people: people.joined), htmx=_HTMX)
    def give_access_back(self, client: Client, htmx: bool) -> None:
        done = None if client.is_shut_out else 409
        if self._act("POST", self._access(client, "give-access-back"), done=done, htmx=htmx):
            self._expected.give_access_back(client)

    def _access(self, client: Client, verb: str) -> str:
        user = self._place.app_driver.user(client.email)
        return f"/portals/{self._portal}/settings/accounts/{user.id}/{verb}"

    @precondition(lambda people: people.anybody)
    @rule(term=st.sampled_from(["a", "random", "rcpt", "%"]), status=st.sampled_from(["invite_sent", "joined"]))
    def read(self, term: str, status: str) -> None:
        """Pages, questions and files: they show what is there, and change nothing."""
        query = f"?email={term.replace('%', '%25')}&status={status}"
        clients = self._expected.clients.values()
        found = {c.email for c in clients if term in c.email and c.shown(now_utc())[1] == status}
        browser = self._browser(self._ada)
        with self._nothing_changes():
            assert {row[5] for row in self._table(query)} == found, "the filter finds others"
            exported = browser.get(f"{ic(self._portal)}/export.csv{query}")
            assert status_of(exported) == 200
            assert len(exported.text.strip().splitlines()) == 1 + len(found), "the file holds others"
            paths = {"", "/weeks", "/template.csv", "/imports"} | {f"/{c.id}/history" for c in clients}
            for path in sorted(paths):
                assert status_of(browser.get(f"{ic(self._portal)}{path}")) == 200, path
            for path in ("/new", "/import"):
                assert status_of(browser.get(f"{ic(self._portal)}{path}")) == (200 if self._is_admin else 403), path
            for client in clients:
                wanted = 403 if not self._is_admin else 409 if client.is_joined else 200
                for page in ("remove", "correct"):
                    assert status_of(browser.get(f"{ic(self._portal)}/{client.id}/{page}")) == wanted, page

    @precondition(lambda people: people._is_admin)
    @rule(steps=st.integers(1, 4))
    def demote(self, steps: int) -> None:
        """The admin is staff for a while, and then admin again, without signing in anew."""
        self._step_down(steps)
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
                found = status_of(browser.send(method, path, fields, htmx=htmx))
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
        assert status_of(self._browser(account.email).post("/verify-email")) == 303
        self._expected.ask_for_verification(account)

    def _press(self, link: Link, who: str | None) -> None:
        state = link.state()
        answer = self._as(who).post(link.path, {"name": "Nora Wind", "password": PASSWORD, "email": self._olaf})
        if state == "gone":
            assert status_of(answer) == 404, f"gone, and answered with {answer.status_code}"
        elif state != "valid":
            assert status_of(answer) == 410, f"{state}, and answered with {answer.status_code}"
            assert SAYS[link.kind][state] in unescape(answer.text), f"it does not say {state}"
        elif isinstance(link.of, Account):
            assert status_of(answer) == 303, answer.status_code
            self._expected.verify(link.of)
        elif link.of.email not in self._expected.accounts:
            assert status_of(answer) == 303, answer.status_code
            self._expected.register(link.of)
        elif who == link.of.email and self._expected.accounts[who].is_verified:
            assert status_of(answer) == 303, answer.status_code
            self._expected.join(link.of)
        else:
            assert status_of(answer) == 409, answer.status_code

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
