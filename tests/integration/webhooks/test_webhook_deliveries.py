"""Client admins see what became of each delivery and send it again; old deliveries are deleted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from app.core.clock import now
from app.core.ids import first_id_at
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import WebhookDelivery, WebhookEndpoint, WebhookState
from app.models.types import db_now
from app.webhooks.endpoints import add_endpoint, send_again, send_given_up
from tests.conftest import ALPINE, HARBOUR
from tests.integration.webhooks.conftest import NORDWIND
from tests.integration.webhooks.settings_page import PAGE, add, rows
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, parse, words
from tests.support.processes import wait_until
from tests.support.scripted_http import Reply
from tests.support.webhooks import Receiver, Webhooks

pytestmark = pytest.mark.usefixtures("app")


class TestDeliveries:
    def test_each_is_shown_with_what_became_of_it(
        self, admin: Browser, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.add(receiver)
        assert "No events yet" in admin.get(PAGE).text
        client_id = app_driver.invite(NORDWIND)
        receiver.answer = lambda told: Reply(204 if told.data["invitation"] == 1 else 500)
        webhooks.flush()
        app_driver.resend(client_id)
        webhooks.flush()
        waiting, delivered = rows(admin)
        assert delivered[:2] == ("delivered", "client.invited")
        assert waiting[0] == "queued"
        assert "1 attempt · next try in" in waiting[2]
        assert "It answered 500." in waiting[2]

        webhooks.let_three_days_pass()
        webhooks.flush()
        given_up, delivered = rows(admin)
        assert given_up[0] == "given_up"
        page = parse(admin.get(PAGE))
        assert [words(one) for one in page.select("h2")][:3] == ["Endpoints", "Failed events", "Latest events"]

        receiver.answer = lambda _event: Reply()
        assert admin.post(f"{PAGE}/deliveries/again").status_code == 303
        webhooks.flush()
        assert [row[0] for row in rows(admin)] == ["delivered", "delivered"]

    def test_one_is_sent_again_under_its_id(
        self, admin: Browser, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        webhooks.flush()
        message_id = webhooks.deliveries()[0].message_id
        assert admin.post(f"{PAGE}/deliveries/{message_id}/again").status_code == 303
        assert admin.post(f"{PAGE}/deliveries/{message_id}/again").status_code == 409
        webhooks.flush()
        assert [one.id for one in receiver.events] == [f"msg_{message_id.hex}"] * 2

    def test_a_test_event_reaches_an_endpoint_that_wants_nothing_of_the_kind_and_ends_its_pause(
        self, admin: Browser, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        endpoint_id = webhooks.add(receiver)
        receiver.stop()
        app_driver.invite(NORDWIND)
        webhooks.flush()
        receiver.start()
        webhooks.flush()
        assert receiver.events == []
        assert "Not responding" in admin.get(PAGE).text
        assert admin.post(f"{PAGE}/{endpoint_id}/test").status_code == 303
        webhooks.flush()
        assert sorted(receiver.types) == ["client.invited", "webhook.test"]
        admin.post(f"{PAGE}/{endpoint_id}/switch", {"on": "0"})
        assert admin.post(f"{PAGE}/{endpoint_id}/test").status_code == 409

    def test_the_page_looks_again_only_while_something_is_on_its_way(
        self, admin: Browser, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        assert parse(admin.get(f"{PAGE}/overview", htmx=True)).select("#webhooks-overview[data-live]")
        webhooks.flush()
        assert not parse(admin.get(f"{PAGE}/overview", htmx=True)).select("[data-live]")

    def test_another_portals_are_not_there(self, admin: Browser, stranger: Browser, webhooks: Webhooks) -> None:
        with webhooks.app.app_context():
            add_endpoint(ALPINE, "https://203.0.114.1/alpine", "", [])
        assert "alpine" not in admin.get(PAGE).text
        assert "203.0.114.1/alpine" in stranger.get(PAGE.replace(HARBOUR, ALPINE)).text

    def test_old_ones_are_deleted(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        webhooks.flush()
        app_driver.invite("b@client.test")
        run_job(app, "prune")
        assert len(webhooks.deliveries()) == 2
        age(app, webhooks.deliveries()[0], days=91)
        run_job(app, "prune")
        assert webhooks.states() == ["queued"]

    def test_old_ones_that_are_still_tried_are_kept(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        age(app, webhooks.deliveries()[0], days=91)
        run_job(app, "prune")
        assert webhooks.states() == ["queued"]
        webhooks.let_three_days_pass()
        run_job(app, "prune")
        assert webhooks.states() == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
class TestTwoAtOnce:
    """On SQLite there is no such moment: whoever writes second begins when the first one has ended."""

    @pytest.mark.parametrize("which", ["one", "all"])
    def test_who_sends_again_and_who_deletes_the_endpoint_do_not_wait_for_each_other(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, which: str
    ) -> None:
        webhooks.add(receiver)
        receiver.stop()
        app_driver.invite(NORDWIND)
        webhooks.let_three_days_pass()
        webhooks.flush()
        (delivery,) = webhooks.deliveries()
        assert (delivery.state, webhooks.endpoint(receiver.url).paused_since is None) == (WebhookState.GIVEN_UP, False)
        calls = {"one": (send_again, HARBOUR, delivery.message_id), "all": (send_given_up, HARBOUR)}
        with ThreadPoolExecutor(1) as threads:
            with app.app_context(), transaction() as session:
                # As who deletes it does: first the endpoint, then what it was to be told.
                session.execute(select(WebhookEndpoint.id).with_for_update())
                sending = threads.submit(app_driver.do, *calls[which])
                wait_until_somebody_waits()
                session.execute(select(WebhookDelivery.id).with_for_update(nowait=True))
            sending.result(timeout=30)
        assert webhooks.states() == ["queued"]

    def test_a_worker_waits_for_nobody_who_is_at_a_paused_endpoint(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        """It has deliveries in its hands, for which they may wait."""
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        webhooks.change_endpoints(paused_since=db_now(-9), paused_until=db_now(-1))
        with ThreadPoolExecutor(1) as threads, app.app_context(), transaction() as session:
            session.execute(select(WebhookEndpoint.id).with_for_update())
            assert threads.submit(webhooks.claim).result(timeout=10) == []
        assert len(webhooks.claim()) == 1

    def test_one_is_added_where_another_is_moved_to(
        self, app: Flask, admin: Browser, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.add(receiver)
        other = f"{receiver.url}/other"
        with ThreadPoolExecutor(1) as threads:
            with app.app_context(), transaction() as session:
                session.execute(update(WebhookEndpoint).values(url=other))
                adding = threads.submit(add, admin, other)
                wait_until_somebody_waits()
            refused = adding.result(timeout=30)
        assert refused.status_code == 422
        assert "already" in field_errors(refused)["url"]


def wait_until_somebody_waits() -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    wait_until(lambda: db.session.scalar(waiting), "somebody waits for us")


def age(app: Flask, delivery: WebhookDelivery, days: int) -> None:
    long_ago = UUID(int=first_id_at(now() - timedelta(days=days)).int | 1)
    with app.app_context(), transaction() as session:
        session.execute(update(WebhookDelivery).where(WebhookDelivery.id == delivery.id).values(message_id=long_ago))
