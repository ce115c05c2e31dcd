"""Upgrades from older code: with a stop from 0.1.0, and without one from when the renames had ended: `make upgrade`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select, update

from app.db.transactions import transaction
from app.extensions import db
from app.models import MailState, OutboxMail, WebhookDelivery, WebhookState
from app.models.types import db_now
from app.queue import sending
from bench.portals_day import Day, admin_of, check, portal_name
from config import ROOT
from tests.conftest import HARBOUR
from tests.crash.fault_smtp import BehavingSmtp
from tests.crash.older_code import RELEASE_0_1, RENAMES_ENDED, Running, Site, is_known, unpack
from tests.crash.people import Person
from tests.crash.traffic import Proxy, Traffic
from tests.support.databases import KINDS, PostgresqlDatabases
from tests.support.factories import PASSWORD
from tests.support.processes import wait_until
from tests.support.scripted_http import ScriptedHttp
from tests.support.smtp import MailServer

ADA = "ada@harbour.test"
_INVITEES_PASSWORD = "green lanterns over the bay"
MAILS = int(os.environ.get("UPGRADE_MAILS", "0"))
"""How many mails go out at each stage of an upgrade beside running processes. 0: only `make upgrade` runs all this."""
PORTALS, DAY_SECONDS = 200, 900
"""Of the upgrade under the load of `make load`: it goes on until the upgrade is done, or fails."""
FROM = os.environ.get("UPGRADE_FROM", RENAMES_ENDED)
"""The commit whose processes run beside today's."""

pytestmark = pytest.mark.skipif(not MAILS, reason="make upgrade")


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path, mail_server: MailServer) -> Iterator[Site]:
    databases = request.getfixturevalue(f"{request.param}_databases")
    with Site(tmp_path, databases.empty(tmp_path, "upgrade"), mail_server).open() as site:
        yield site


@pytest.fixture
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The code of a commit, as an older release has it."""
    if not is_known(request.param):
        pytest.skip(f"The older code is not here: git has no commit {request.param[:7]}.")
    return unpack(request.param, tmp_path)


@pytest.mark.parametrize("older", [RELEASE_0_1], indirect=True)
def test_after_a_stop_nothing_is_lost_and_nothing_goes_out_twice(
    site: Site, older: Path, mail_server: MailServer
) -> None:
    """One worker dies with mails in its hands, and the other one is stopped while more wait."""
    with ScriptedHttp() as receiver:
        site.flask(older, "db", "upgrade")
        site.furnish(older, receiver.url, {HARBOUR: ADA})
        web, doomed = site.web(older), site.worker(older).wait()
        admin = Person(web.wait().url)
        admin.sign_in(ADA, PASSWORD)
        emails = _import(admin, "sent", 5)
        for email in emails:
            mail_server.wait_for(email)
        early = Person(web.url)
        _register(early, mail_server, emails[0])
        mail_server.wait_for(emails[0], 2)
        with mail_server.answering_nobody():
            emails += _import(admin, "in-hand", 10)
            assert mail_server.holding.wait(30)
            doomed.child.kill()
            wait_until(lambda: mail_server.connections == 0, "its connections have ended")
            unrecorded = {request.headers["webhook-id"] for request in receiver.requests}
        worker = site.worker(older).wait()
        with mail_server.taking_their_time(0.3):
            emails += _import(admin, "waiting", 30)
            wait_until(lambda: mail_server.to("waiting-0@client.test"), "some go out")
            worker.stop()
        web.stop()
        before = len(mail_server.mails)

        began = monotonic()
        seconds = site.flask(ROOT, "db", "upgrade")
        site.do(_end_leases)
        web, worker = site.web(ROOT), site.worker(ROOT).wait()
        web.wait()
        stopped = monotonic() - began
        for email in emails:
            mail_server.wait_for(email)
        # Links from before open. 0.1.0 did not note in which browser somebody registered, so we ask for the password.
        early.url = web.url
        _verify(early, mail_server, emails[0], {"password": _INVITEES_PASSWORD})
        late = Person(web.url)
        _register(late, mail_server, emails[1])
        mail_server.wait_for(emails[1], 2)
        _verify(late, mail_server, emails[1])
        wait_until(lambda: site.do(_under_way) == 0, "all mails and webhooks are done")
        print(
            f"stopped for {stopped:.1f} s, of it db upgrade {seconds:.1f} s; {before} mails before,"
            f" {len(mail_server.mails)} in all, {len(receiver.requests)} webhooks"
        )
        assert Counter(mail.recipient for mail in mail_server.mails) == Counter([*emails, *emails[:2]])
        assert max(Counter(mail.message["Message-ID"] for mail in mail_server.mails).values()) == 1
        events = Counter(request.headers["webhook-id"] for request in receiver.requests)
        assert len(events) == len(emails) + 2  # each was invited, and two have joined
        # What was delivered when the worker died, and not recorded, is delivered again.
        assert {one for one, times in events.items() if times > 1} <= unrecorded
        admin = Person(web.url)
        admin.sign_in(ADA, PASSWORD)
        found = {line.email: (line.status, line.delivery) for line in admin.lines()}
        assert found == {email: ("joined" if email in emails[:2] else "invite_sent", "sent") for email in emails}
        assert site.troubles == []


def _import(admin: Person, name: str, rows: int) -> list[str]:
    emails = [f"{name}-{n}@client.test" for n in range(rows)]
    answer = admin.bring_in(emails)
    assert answer is not None
    assert answer.status == 200, answer
    return emails


def _register(invitee: Person, mail_server: MailServer, email: str) -> None:
    path = urlsplit(mail_server.to(email)[0].link).path
    invitee.look_at(path)
    answer = invitee.register(path, email, "Kim Adler", _INVITEES_PASSWORD)
    assert answer is not None
    assert answer.status == 303, answer


def _verify(
    invitee: Person, mail_server: MailServer, email: str, typed: Mapping[str, str] = MappingProxyType({})
) -> None:
    path = urlsplit(mail_server.to(email)[1].link).path
    invitee.look_at(path)
    assert invitee.press(path, dict(typed)).status == 303


def _end_leases() -> None:
    """As if a minute had passed."""
    with transaction() as session:
        for model in (OutboxMail, WebhookDelivery):
            session.execute(update(model).where(model.lease_id.is_not(None)).values(lease_until=db_now(-1)))


def _under_way() -> int:
    mails = select(func.count()).where(OutboxMail.state.in_([MailState.QUEUED, MailState.SENDING]))
    webhooks = select(func.count()).where(WebhookDelivery.state.in_([WebhookState.QUEUED, WebhookState.SENDING]))
    return (db.session.scalar(mails) or 0) + (db.session.scalar(webhooks) or 0)


@pytest.mark.parametrize("older", [FROM], indirect=True)
def test_old_and_new_processes_run_side_by_side(site: Site, older: Path, mail_server: MailServer) -> None:
    proxy = Proxy()
    with ScriptedHttp() as receiver:
        site.flask(older, "db", "upgrade")
        site.furnish(older, receiver.url, {HARBOUR: ADA})
        old_webs = [site.web(older), site.web(older)]
        old_workers = [site.worker(older), site.worker(older)]
        for web in old_webs:
            proxy.let_in(web.wait().url)
        with Traffic(proxy, mail_server, ADA) as traffic:

            def more_mails() -> None:
                """Wait until so many more mails went out."""
                known = len(mail_server.mails)
                wait_until(lambda: len(mail_server.mails) >= known + MAILS, "mails go out")

            seconds = _roll(site, proxy, old_webs, old_workers, more_mails)
        wait_until(lambda: traffic.mails.total() >= traffic.expected.total(), "the last mails")
        wait_until(lambda: site.do(_under_way) == 0, "all mails and webhooks are done")
        took, slowest = proxy.slowest
        print(
            f"db upgrade {seconds:.1f} s, slowest request {took:.1f} s ({slowest}), answers {dict(proxy.answers)},"
            f" {len(traffic.expected)} clients, {len(traffic.verified)} joined, {len(mail_server.mails)} mails,"
            f" {len(receiver.requests)} webhooks"
        )
        assert proxy.troubles == []
        assert all(set(answers) == {200} for answers in proxy.ready.values())
        assert traffic.mails == traffic.expected
        assert max(Counter(mail.message["Message-ID"] for mail in mail_server.mails).values()) == 1
        events = Counter(request.headers["webhook-id"] for request in receiver.requests)
        assert max(events.values()) == 1
        assert site.do(sending.held_reason) is None  # whatever old workers sent without counting it
        assert site.troubles == []


def _roll(
    site: Site, proxy: Proxy, webs: Sequence[Running], workers: Sequence[Running], pause: Callable[[], None]
) -> float:
    """Upgrade the schema, and put today's processes in place of these, one after the other, the workers first.

    Returns the seconds that `db upgrade` took.
    """
    pause()
    seconds = site.flask(ROOT, "db", "upgrade")
    pause()
    for worker in workers:
        site.worker(ROOT)
        worker.stop()
    for web in webs:
        proxy.let_in(site.web(ROOT).wait().url)
        pause()
        proxy.take_out(web.url)
        web.stop()
    pause()
    return seconds


@pytest.mark.parametrize("older", [FROM], indirect=True)
def test_nobody_is_refused_while_200_portals_are_at_work(
    postgresql_databases: PostgresqlDatabases, tmp_path: Path, older: Path
) -> None:
    """The day of `make load`, on PostgreSQL: SQLite alone tells some to come again then."""
    proxy = Proxy()
    database_url = postgresql_databases.empty(tmp_path, "load")
    with BehavingSmtp() as smtp, ScriptedHttp() as receiver, Site(tmp_path, database_url, smtp).open() as site:
        site.flask(older, "db", "upgrade")
        site.furnish(older, receiver.url, {portal_name(n): admin_of(n) for n in range(PORTALS)})
        webs, workers = [site.web(older) for _ in range(3)], [site.worker(older) for _ in range(3)]
        for web in webs:
            proxy.let_in(web.wait().url)
        until = monotonic() + DAY_SECONDS
        day = Day(proxy.request, smtp, PORTALS, 10, until)

        def more_mails() -> None:
            known = len(smtp.history)
            wait_until(lambda: len(smtp.history) >= known + MAILS, "mails go out")

        with ThreadPoolExecutor() as pool:
            running = pool.submit(day.run)
            try:
                seconds = _roll(site, proxy, webs, workers, more_mails)
                assert not running.done(), "the upgrade took longer than the load"
            finally:
                day.close()
        check(site.settings, day, smtp, receiver, until)
        result = day.result
        print(
            f"db upgrade {seconds:.1f} s, slowest request {max(chain.from_iterable(result.seconds.values())):.1f} s,"
            f" {result.portals} portals, {result.requests} requests in {result.took:.0f} s, {result.mails} mails,"
            f" {result.webhooks} webhooks"
        )
        assert result.errors == []
        assert result.busy == {}
        assert site.troubles == []
