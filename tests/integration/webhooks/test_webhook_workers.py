"""Workers tell each event at least once: several of them, dead, frozen, killed and stopped ones."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

import pytest
from flask import Flask

from app.db.transactions import transaction
from app.jobs.schedule import run_job
from app.jobs.scheduler import start_embedded
from app.models.types import db_now
from app.webhooks import queue
from app.webhooks.queue import Verdict, retry_pause_seconds
from app.webhooks.worker import flush
from config import Timings
from tests.conftest import HARBOUR
from tests.integration.webhooks.conftest import BERGHOF, NORDWIND
from tests.integration.webhooks.harbour_receiver import WithReceiver
from tests.support.app_driver import AppDriver
from tests.support.databases import on_sqlite
from tests.support.factories import import_file
from tests.support.processes import FLASK, Process, wait_until
from tests.support.scripted_http import Hang, Reply
from tests.support.together import at_once
from tests.support.webhooks import Receiver, Webhooks

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app")]


class TestWorkers(WithReceiver):
    def test_several_at_once_tell_each_event_once(
        self, app: Flask, webhooks: Webhooks, receiver: Receiver, reconfigured: Callable[..., Flask]
    ) -> None:
        with app.app_context():
            import_file(HARBOUR, *(f"c{number}@client.test" for number in range(24)))
        apps = [app, reconfigured(), reconfigured()]
        at_once([lambda one=one: run_job(one, "flush-webhooks") for one in apps])  # type: ignore[misc]
        webhooks.flush()
        assert len(receiver.events) == len({one.id for one in receiver.events}) == 24

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

    @on_sqlite
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

    @on_sqlite
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

    @on_sqlite
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

    @on_sqlite
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

    @on_sqlite
    def test_the_pauses_between_attempts_grow(self) -> None:
        pauses = [retry_pause_seconds(attempt) for attempt in range(1, 9)]
        assert pauses[0] < 30
        assert pauses[1] < 90
        assert pauses == sorted(pauses[:6]) + pauses[6:]
        assert len({retry_pause_seconds(5) for _ in range(10)}) == 10
        assert Timings().lease <= 60
