"""A receiver that is away, moves or refuses an event gets the events later, and holds up nobody else."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from time import monotonic

import pytest
from flask import Flask

from app.extensions import db
from app.models.types import db_now
from app.webhooks.endpoints import EVENTS, change_endpoint, send_given_up
from config import Timings
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.webhooks.conftest import BERGHOF, NORDWIND
from tests.integration.webhooks.harbour_receiver import WithReceiver
from tests.integration.webhooks.settings_page import PAGE
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.databases import on_sqlite
from tests.support.factories import invite
from tests.support.processes import wait_until
from tests.support.scripted_http import Drip, Raw, Reply
from tests.support.smtp import MailServer
from tests.support.webhooks import ReceivedEvent, Receiver, Webhooks

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app")]

OLAF = "olaf@alpine.test"


class TestADeadReceiver(WithReceiver):
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
        assert "nothing is listening" in (webhooks.endpoint(receiver.url).pause_reason or "")

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

    @on_sqlite
    def test_says_for_how_long_it_wants_to_be_left_in_peace(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        receiver.answer = lambda _event: Reply(429, headers={"Retry-After": "120"})
        app_driver.invite(NORDWIND)
        webhooks.flush()
        assert 110 < seconds_until_probe(app, webhooks, receiver) <= 120

    @on_sqlite
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

    @on_sqlite
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


class TestAnEndpointThatHasMoved(WithReceiver):
    @pytest.mark.parametrize(
        ("status", "database_url"),
        [(410, "sqlite"), (503, "sqlite"), (None, "sqlite"), (410, "postgresql"), (503, "postgresql")],
        indirect=["database_url"],
    )
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


class TestOneRefusedEvent(WithReceiver):
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

    @on_sqlite
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


def seconds_until_probe(app: Flask, webhooks: Webhooks, receiver: Receiver) -> float:
    until = webhooks.endpoint(receiver.url).paused_until
    with app.app_context():
        at = db.session.scalars(db.select(db_now())).one()
    assert until is not None
    return float((until - at).total_seconds())
