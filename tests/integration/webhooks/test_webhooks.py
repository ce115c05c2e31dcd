"""Telling a portal's own systems: every event, in its order, signed, at least once, whatever goes wrong meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Event, Thread
from time import monotonic
from uuid import UUID

import pytest
from flask import Flask

from app.clients.bulk import remove_clients, resend_clients
from app.clients.service import correct_client
from app.db.transactions import transaction
from app.extensions import db
from app.invitations.service import invitation_url
from app.jobs.schedule import run_job
from app.jobs.scheduler import start_embedded
from app.models import ImportedClient, WebhookEvent
from app.models.types import db_now
from app.outbox.errors import PermanentFailure
from app.registration.service import accept
from app.webhooks import queue
from app.webhooks.endpoints import EVENTS, change_endpoint, send_given_up, switch_endpoint
from app.webhooks.queue import Verdict, retry_pause_seconds
from app.webhooks.worker import flush
from config import Timings
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.factories import import_file, invite, make_user
from tests.support.processes import FLASK, Process, wait_until
from tests.support.scripted_http import Drip, Hang, Raw, Reply
from tests.support.smtp import MailServer
from tests.support.together import at_once
from tests.support.webhooks import ReceivedEvent, Receiver, Webhooks

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app")]

NORDWIND, BERGHOF = "info@nordwind.test", "post@berghof.test"
OLAF = "olaf@alpine.test"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    # Where the test's own receivers are.
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "OUTBOX_INTERVAL_SECONDS": "0.1"}


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    """Starts receivers; whatever they get has to be genuine."""
    started: list[Receiver] = []
    with ExitStack() as stack:

        def start() -> Receiver:
            started.append(stack.enter_context(Receiver()))
            return started[-1]

        yield start
    assert [one.fakes for one in started] == [[] for _ in started]


@pytest.fixture
def webhooks(app: Flask) -> Webhooks:
    return Webhooks(app)


@pytest.fixture
def receiver(receivers: Callable[[], Receiver], webhooks: Webhooks) -> Receiver:
    """That of Harbour Tours, which wants all events."""
    started = receivers()
    webhooks.add(started)
    return started


def act_on(app: Flask, action: Callable[..., object], ids: list[UUID], app_driver: AppDriver) -> None:
    with app.app_context():
        action(HARBOUR, ids, app_driver.user("ada@harbour.test").id)


class TestWhatIsTold:
    def test_a_clients_life(self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver) -> None:
        client_id = app_driver.invite(NORDWIND)
        app_driver.resend(client_id)
        with app.app_context():
            correct_client(HARBOUR, client_id, app_driver.user("ada@harbour.test").id, "Südwind", BERGHOF)
        join(app, app_driver.client(BERGHOF))
        webhooks.flush()

        ids = {"portal_id": HARBOUR, "client_id": str(client_id)}
        assert [(one.type, one.data) for one in receiver.events] == [
            ("client.invited", {**ids, "invitation": 1, "company_name": "Nordwind Reisen", "email": NORDWIND}),
            ("client.invited", {**ids, "invitation": 2, "company_name": "Nordwind Reisen", "email": NORDWIND}),
            ("client.invited", {**ids, "invitation": 3, "company_name": "Südwind", "email": BERGHOF}),
            ("client.joined", {**ids, "invitation": 3, "company_name": "Südwind", "email": BERGHOF}),
        ]
        assert len({one.id for one in receiver.events}) == 4
        assert set(webhooks.states()) == {"delivered"}

    def test_a_mail_that_could_not_be_delivered(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        client_id = app_driver.invite(NORDWIND)
        mail = app_driver.claim_one()
        app_driver.settle(mail, PermanentFailure("550 5.1.1 nobody here"))
        webhooks.flush()
        assert receiver.events[-1].type == "client.delivery_failed"
        assert receiver.events[-1].data == {
            "portal_id": HARBOUR,
            "client_id": str(client_id),
            "invitation": 1,
            "reason": "550 5.1.1 nobody here",
        }

    def test_many_at_once(self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver) -> None:
        with app.app_context():
            import_file(HARBOUR, *(f"c{number}@client.test" for number in range(30)))
        ids = [app_driver.client(f"c{number}@client.test").id for number in range(30)]
        act_on(app, resend_clients, ids[:20], app_driver)
        act_on(app, remove_clients, ids[10:20], app_driver)
        webhooks.flush()
        for number, client_id in enumerate(ids):
            told = [(one.type, one.data["invitation"]) for one in receiver.of(client_id)]
            expected = [("client.invited", 1), ("client.invited", 2), ("client.removed", 2)]
            assert told == expected[: 2 if number < 10 else 3 if number < 20 else 1]

    def test_nothing_but_what_is_wanted(
        self, app_driver: AppDriver, webhooks: Webhooks, receivers: Callable[[], Receiver]
    ) -> None:
        picky, off, foreign = receivers(), receivers(), receivers()
        webhooks.add(picky, events=[WebhookEvent.CLIENT_REMOVED])
        off_id = webhooks.add(off)
        webhooks.add(foreign, ALPINE)
        app_driver.do(switch_endpoint, HARBOUR, off_id, on=False)
        app_driver.remove(app_driver.invite(NORDWIND))
        webhooks.flush()
        assert (picky.types, off.types, foreign.types) == (["client.removed"], [], [])

    def test_nothing_that_did_not_happen(self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver) -> None:
        app_driver.invite(NORDWIND)
        app_driver.invite(NORDWIND)  # once more, which does nothing
        assert len(webhooks.deliveries()) == 1

    def test_of_a_removed_client_nothing_personal_is_kept_nor_sent(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        removed, kept = app_driver.invite(NORDWIND), app_driver.invite(BERGHOF, "Berghof")
        webhooks.flush()
        app_driver.resend(removed)
        app_driver.remove(removed)
        told = [row for row in app_driver.dump().splitlines() if row.startswith("webhook_delivery")]
        assert not [row for row in told if NORDWIND in row or "Nordwind" in row]
        assert [row for row in told if BERGHOF in row]
        webhooks.flush()
        assert [one.type for one in receiver.of(removed)] == ["client.invited", "client.invited", "client.removed"]
        assert receiver.of(removed)[1].data["email"] is None
        assert receiver.of(kept)[0].data["email"] == BERGHOF


class TestWhatItCosts:
    def statements(self, app: Flask, *emails: str) -> int:
        noted: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            noted.append(statement)

        with app.app_context():
            db.event.listen(db.engine, "before_cursor_execute", note)
            import_file(HARBOUR, *emails)
            db.event.remove(db.engine, "before_cursor_execute", note)
        return len(noted)

    def test_one_look_without_endpoints_and_a_few_statements_whatever_the_number(
        self, app: Flask, webhooks: Webhooks, receivers: Callable[[], Receiver]
    ) -> None:
        self.statements(app, "warm@client.test")
        without = self.statements(app, "one@client.test")
        assert webhooks.deliveries() == []
        webhooks.add(receivers())
        one = self.statements(app, "two@client.test")
        many = self.statements(app, *(f"many{number}@client.test" for number in range(50)))
        assert one == many
        assert one <= without + 2


class TestADeadReceiver:
    def test_gets_everything_in_order_once_it_is_back(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        """It is away for a minute, while more and more happens."""
        receiver.stop()
        clients = [app_driver.invite(f"c{number}@client.test") for number in range(6)]
        webhooks.flush()
        for client_id in clients[:3]:
            app_driver.resend(client_id)
        for client_id in clients[:2]:
            app_driver.remove(client_id)
        for _minute in range(6):
            webhooks.end_pauses()
            webhooks.flush()
        assert set(webhooks.states()) == {"queued"}
        assert {one.attempts for one in webhooks.deliveries()} == {0}
        assert "nobody listens" in (webhooks.endpoint(receiver.url).pause_reason or "")

        # A minute after it went away it is asked again soon enough.
        webhooks.change_endpoints(paused_since=db_now(-60), paused_until=db_now(-1))
        webhooks.flush()
        assert seconds_until_probe(app, webhooks, receiver) < 15
        receiver.start()
        webhooks.end_pauses()
        webhooks.flush()
        assert set(webhooks.states()) == {"delivered"}
        assert webhooks.endpoint(receiver.url).paused_since is None
        for number, client_id in enumerate(clients):
            told = [(one.type, one.data["invitation"]) for one in receiver.of(client_id)]
            expected = [("client.invited", 1), ("client.invited", 2), ("client.removed", 2)]
            assert told == expected[: 3 if number < 2 else 2 if number < 3 else 1]

    def test_is_asked_by_one_delivery_at_a_time(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        receiver.answer = lambda _event: Reply(503)
        for number in range(8):
            app_driver.invite(f"c{number}@client.test")
        webhooks.flush()
        asked = len(receiver.events)
        assert asked <= 4
        webhooks.flush()
        assert len(receiver.events) == asked
        webhooks.end_pauses()
        webhooks.flush()
        assert len(receiver.events) == asked + 1

    def test_says_for_how_long_it_wants_to_be_left_in_peace(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        receiver.answer = lambda _event: Reply(429, headers={"Retry-After": "120"})
        app_driver.invite(NORDWIND)
        webhooks.flush()
        assert 110 < seconds_until_probe(app, webhooks, receiver) <= 120

    def test_holds_up_no_other_portal(
        self,
        app_driver: AppDriver,
        webhooks: Webhooks,
        receiver: Receiver,
        receivers: Callable[[], Receiver],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(Timings, "patience", 1.5)
        receiver.answer = lambda _event: Drip(b"HTTP/1.1 ")
        others = receivers()
        webhooks.add(others, ALPINE)
        for number in range(6):
            app_driver.invite(f"c{number}@client.test")
        flushing = Thread(target=webhooks.flush)
        flushing.start()
        wait_until(lambda: receiver.events, "the first endpoint has begun to drip")
        began = monotonic()
        app_driver.do(invite, ALPINE, BERGHOF, "Berghof", OLAF)
        wait_until(lambda: others.events, "the other portal is told")
        assert monotonic() - began < 1.4
        flushing.join(timeout=30)

    def test_is_away_with_its_whole_portal_and_mails_go_out(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, outbox: Outbox, mail_server: MailServer
    ) -> None:
        receiver.stop()
        app_driver.invite(NORDWIND)
        webhooks.flush()
        outbox.flush()
        assert mail_server.to(NORDWIND)

    def test_is_given_up_after_three_days_and_can_be_told_again(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        receiver.stop()
        app_driver.invite(NORDWIND)
        app_driver.invite(BERGHOF)
        webhooks.flush()
        webhooks.let_three_days_pass()
        webhooks.flush()
        assert webhooks.states() == ["given_up", "given_up"]
        ids = [one.message_id for one in webhooks.deliveries()]
        receiver.start()
        assert app_driver.do(send_given_up, HARBOUR) == 2
        webhooks.flush()
        assert webhooks.states() == ["delivered", "delivered"]
        assert sorted(one.id for one in receiver.events) == sorted(f"msg_{one.hex}" for one in ids)

    def test_that_is_gone_for_good_is_switched_off(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, admin: Browser
    ) -> None:
        receiver.answer = lambda _event: Reply(410)
        app_driver.invite(NORDWIND)
        webhooks.flush()
        app_driver.invite(BERGHOF)
        webhooks.end_pauses()
        webhooks.flush()
        endpoint = webhooks.endpoint(receiver.url)
        assert (endpoint.is_on, webhooks.states(), len(receiver.events)) == (False, ["queued"], 1)
        assert "410 Gone" in admin.get(PAGE).text
        receiver.answer = lambda _event: Reply()
        admin.post(f"{PAGE}/{endpoint.id}/switch", {"on": "1"})
        webhooks.flush()
        assert webhooks.states() == ["delivered"]


class TestAnEndpointThatHasMoved:
    @pytest.mark.parametrize("status", [410, 503, None])
    def test_is_not_judged_by_what_its_former_address_says(
        self,
        status: int | None,
        app_driver: AppDriver,
        webhooks: Webhooks,
        receiver: Receiver,
        receivers: Callable[[], Receiver],
    ) -> None:
        """While the former one has the event in hand an admin gives the endpoint another address."""
        new, former_url = receivers(), receiver.url
        new.secret = receiver.secret
        endpoint_id = webhooks.endpoint(former_url).id

        def move(_event: ReceivedEvent) -> Reply | Raw:
            app_driver.do(change_endpoint, HARBOUR, endpoint_id, new.url, "", EVENTS)
            return Reply(status) if status else Raw(b"")

        receiver.answer = move
        app_driver.invite(NORDWIND)
        webhooks.flush()
        assert (len(receiver.events), len(new.events)) == (1, 1)
        endpoint, (delivery,) = webhooks.endpoint(new.url), webhooks.deliveries()
        assert (endpoint.is_on, endpoint.gone_at, endpoint.paused_since) == (True, None, None)
        assert (delivery.state.value, delivery.attempts) == ("delivered", 1)


class TestOneRefusedEvent:
    def test_holds_up_its_own_client_and_nobody_else(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        refused, other = app_driver.invite(NORDWIND), app_driver.invite(BERGHOF)
        receiver.answer = lambda told: Reply(500 if told.client_id == refused else 200)
        app_driver.resend(refused)
        app_driver.resend(other)
        webhooks.flush()
        assert [one.data["invitation"] for one in receiver.of(refused)] == [1]
        assert [one.data["invitation"] for one in receiver.of(other)] == [1, 2]
        first = webhooks.deliveries()[0]
        assert (first.attempts, first.last_answer) == (1, "It answered 500.")

        receiver.answer = lambda _event: Reply(200)
        webhooks.end_pauses()
        webhooks.flush()
        assert [one.data["invitation"] for one in receiver.of(refused)] == [1, 1, 2]
        assert receiver.of(refused)[0].id == receiver.of(refused)[1].id != receiver.of(refused)[2].id
        first_id = receiver.of(refused)[0].id
        bodies = [one.body for one in receiver.requests if one.headers["webhook-id"] == first_id]
        assert bodies[0] == bodies[1]

    def test_lets_the_next_one_go_when_it_is_given_up(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        client_id = app_driver.invite(NORDWIND)
        receiver.answer = lambda told: Reply(500 if told.data["invitation"] == 1 else 200)
        webhooks.flush()
        webhooks.let_three_days_pass()
        app_driver.resend(client_id)
        webhooks.flush()
        assert webhooks.states() == ["given_up", "delivered"]

    def test_that_breaks_the_receiver_each_time_does_not_stop_the_others(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        poison = app_driver.invite(NORDWIND)
        others = [app_driver.invite(f"c{number}@client.test") for number in range(10)]
        receiver.answer = lambda told: Raw(b"") if told.client_id == poison else Reply()
        for _time in range(4):
            webhooks.flush()
            webhooks.end_pauses()
        assert all(receiver.of(client_id) for client_id in others)
        assert webhooks.states() == ["queued", *["delivered"] * 10]


class TestWorkers:
    def test_several_at_once_tell_each_event_once(
        self, app: Flask, webhooks: Webhooks, receiver: Receiver, reconfigured: Callable[..., Flask]
    ) -> None:
        with app.app_context():
            import_file(HARBOUR, *(f"c{number}@client.test" for number in range(40)))
        apps = [app, reconfigured(), reconfigured()]
        at_once([lambda one=one: run_job(one, "flush-webhooks") for one in apps])  # type: ignore[misc]
        webhooks.flush()
        assert len(receiver.events) == len({one.id for one in receiver.events}) == 40

    def test_one_alone_tries_an_endpoint_that_was_away(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        app_driver.invite(NORDWIND)
        app_driver.invite(BERGHOF)
        webhooks.change_endpoints(paused_since=db_now(-9), paused_until=db_now(-1))
        with app.app_context():
            (seen_by_both,) = queue.due_endpoints()
            with transaction():
                first = queue.fetch(seen_by_both, 4)
            with transaction():
                second = queue.fetch(seen_by_both, 4)
        assert (len(first), len(second)) == (1, 0)

    def test_what_a_dead_one_held_is_told_by_the_next(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        app_driver.invite(NORDWIND)
        (held,) = webhooks.claim()
        webhooks.flush()
        assert receiver.events == []
        webhooks.end_leases()
        webhooks.flush()
        assert len(receiver.events) == 1
        # It only slept, and wakes.
        webhooks.settle(held, Verdict.REFUSED)
        assert webhooks.states() == ["delivered"]

    def test_one_that_slept_after_its_claim_does_not_begin(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Timings, "begin_within", -1.0)
        app_driver.invite(NORDWIND)
        stop = Event()
        flushing = Thread(target=flush, args=(webhooks.app, stop))
        flushing.start()
        wait_until(lambda: webhooks.deliveries()[0].last_answer, "it has put the delivery down")
        stop.set()
        flushing.join(timeout=10)
        assert receiver.events == []

    def test_one_that_can_start_no_thread_tries_again(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refusals = [RuntimeError("can't start new thread")]

        class Scarce(Thread):
            def start(self) -> None:
                if refusals:
                    raise refusals.pop()
                super().start()

        monkeypatch.setattr("app.webhooks.worker.Thread", Scarce)
        for email in (NORDWIND, BERGHOF):
            app_driver.invite(email)
        stop = Event()
        flushing = Thread(target=flush, args=(webhooks.app, stop))
        flushing.start()
        flushing.join(timeout=5)
        stop.set()
        assert not flushing.is_alive()
        assert refusals == []
        assert webhooks.states() == ["delivered", "delivered"]

    def test_one_that_is_told_to_stop_finishes_what_it_has_begun(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        receiver.answer = lambda _event: Reply(after=0.5)
        app_driver.resend(app_driver.invite(NORDWIND))
        stop = Event()
        flushing = Thread(target=flush, args=(webhooks.app, stop))
        flushing.start()
        wait_until(lambda: receiver.events, "the first event is in the receiver's hands")
        stop.set()
        flushing.join(timeout=10)
        assert webhooks.states() == ["delivered", "queued"]
        webhooks.flush()
        assert [one.data["invitation"] for one in receiver.events] == [1, 2]

    def test_one_that_has_it_in_its_own_process_does_not_wait_for_its_round(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, reconfigured: Callable[..., Flask]
    ) -> None:
        seldom = reconfigured(OUTBOX_INTERVAL_SECONDS="3600")
        scheduler = start_embedded(seldom)
        try:
            AppDriver(seldom).invite(NORDWIND)
            wait_until(lambda: receiver.events, "the event is told at once")
        finally:
            scheduler.stop()

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_one_that_is_killed_loses_nothing(
        self,
        environment: dict[str, str],
        app_driver: AppDriver,
        webhooks: Webhooks,
        receiver: Receiver,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        receiver.answer = lambda _event: Hang()
        app_driver.resend(app_driver.invite(NORDWIND))
        worker = Process([*FLASK, "worker"], environment, tmp_path_factory.mktemp("killed") / "log")
        wait_until(lambda: receiver.events or not worker.is_running, "the worker is in the middle of it")
        assert worker.is_running, worker.said
        worker.kill()
        receiver.answer = lambda _event: Reply()
        webhooks.flush()
        assert len(receiver.events) == 1
        webhooks.end_leases()
        webhooks.flush()
        assert [one.data["invitation"] for one in receiver.events] == [1, 1, 2]
        assert receiver.events[0].id == receiver.events[1].id

    def test_the_pauses_between_attempts_grow(self) -> None:
        pauses = [retry_pause_seconds(attempt) for attempt in range(1, 9)]
        assert pauses[0] < 30
        assert pauses[1] < 90
        assert pauses == sorted(pauses[:6]) + pauses[6:]
        assert len({retry_pause_seconds(5) for _ in range(10)}) == 10
        assert Timings().lease <= 60


PAGE = f"/portals/{HARBOUR}/settings/webhooks"


def seconds_until_probe(app: Flask, webhooks: Webhooks, receiver: Receiver) -> float:
    until = webhooks.endpoint(receiver.url).paused_until
    with app.app_context():
        at = db.session.scalars(db.select(db_now())).one()
    assert until is not None
    return float((until - at).total_seconds())


def join(app: Flask, client: ImportedClient) -> None:
    """What an invitee with a verified account does."""
    with app.app_context():
        user_id = make_user(client.email, "Joined Person")
        accept(invitation_url(HARBOUR, client.id, client.generation).rpartition("/")[2], user_id)
