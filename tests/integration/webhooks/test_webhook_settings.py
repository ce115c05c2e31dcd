"""Settings, Webhooks: what client admins do and see there, and what operators see of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import time_machine
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select, text, update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug.test import TestResponse

from app.core.clock import now
from app.core.ids import first_id_at
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import WebhookDelivery, WebhookEndpoint, WebhookState
from app.models.types import db_now
from app.webhooks.endpoints import add_endpoint, roll_secret, send_again, send_given_up
from app.webhooks.queue import Verdict
from config import ROOT
from tests.conftest import ALPINE, HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, parse, words
from tests.support.processes import wait_until
from tests.support.scripted_http import Reply
from tests.support.webhooks import Receiver, Webhooks, genuine

pytestmark = pytest.mark.usefixtures("app")

PAGE = f"/portals/{HARBOUR}/settings/webhooks"
NORDWIND = "info@nordwind.test"
EVENTS = ["client.invited", "client.delivery_failed", "client.joined", "client.removed"]


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started
    assert started.fakes == []


@pytest.fixture
def webhooks(app: Flask) -> Webhooks:
    return Webhooks(app)


def add(admin: Browser, url: str, events: list[str] | None = None, description: str = "") -> TestResponse:
    fields = {"url": url, "description": description, "events": EVENTS if events is None else events}
    return admin.post(PAGE, fields)


def secret_on(response: TestResponse) -> str:
    (shown,) = parse(response).select("#webhook-secret")
    return words(shown)


def rows(admin: Browser) -> list[tuple[str, str, str]]:
    """What the page says of each delivery: its state, its event, and what stands in the column of the state."""
    return [
        (tr["data-state"], words(tr.select_one("code")), words(tr.select_one("[data-col=state]")))  # type: ignore[misc]
        for tr in parse(admin.get(PAGE)).select("tr[data-delivery]")
    ]


class TestEndpoints:
    def test_one_is_added_and_its_secret_is_shown_once(
        self, admin: Browser, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        added = add(admin, receiver.url, ["client.joined"], "For B-Portal")
        receiver.secret = secret_on(added)
        assert receiver.secret.startswith("whsec_")
        page = admin.get(PAGE)
        assert receiver.secret not in page.text
        assert receiver.secret.removeprefix("whsec_") not in app_driver.dump()
        (endpoint,) = parse(page).select("[data-endpoint]")
        assert receiver.url in words(endpoint)
        assert "For B-Portal" in words(endpoint)
        assert [words(code) for code in endpoint.select("code")] == ["client.joined"]

        again = add(admin, receiver.url)
        assert again.status_code == 422
        assert "already" in field_errors(again)["url"]

    def test_one_is_changed_switched_and_deleted(
        self, admin: Browser, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        endpoint_id = webhooks.add(receiver)
        other = f"{receiver.url}/other"
        saved = admin.post(f"{PAGE}/{endpoint_id}", {"url": other, "description": "", "events": ["client.invited"]})
        assert saved.status_code == 303
        admin.post(f"{PAGE}/{endpoint_id}/switch", {"on": "0"})
        app_driver.invite("a@client.test")
        admin.post(f"{PAGE}/{endpoint_id}/switch", {"on": "1"})
        app_driver.invite("b@client.test")
        webhooks.flush()
        assert [request.path for request in receiver.requests] == ["/hooks/other"]
        assert "is deleted with it" in admin.get(f"{PAGE}/{endpoint_id}/delete").text
        assert admin.post(f"{PAGE}/{endpoint_id}/delete").status_code == 303
        assert (webhooks.deliveries(), rows(admin)) == ([], [])

    def test_there_are_five_at_most(self, admin: Browser) -> None:
        for number in range(5):
            assert add(admin, f"https://203.0.114.{number}/hooks").status_code == 200
        assert add(admin, "https://203.0.114.9/hooks").status_code == 409
        assert "Add the endpoint" not in admin.get(PAGE).text

    def test_what_cannot_be_used_is_refused_with_what_to_do(self, admin: Browser) -> None:
        refused = {
            "": "must begin with https://",
            "ftp://b-portal.example": "must begin with https://",
            "https://user:pass@b-portal.example": "user name or a password",
            "https://b-portal.example/a b": "cannot hold",
        }
        for url, words_of_it in refused.items():
            response = add(admin, url)
            assert response.status_code == 422
            assert words_of_it in field_errors(response)["url"], url
        assert field_errors(add(admin, "https://203.0.114.1", events=[]))["events"] == "Choose at least one event."
        assert add(admin, "https://203.0.114.1", events=["client.renamed"]).status_code == 422
        assert "one line" in field_errors(add(admin, "https://203.0.114.1", description="x" * 201))["description"]

    def test_addresses_inside_are_refused_with_one_sentence(
        self, admin: Browser, reconfigured: Callable[..., Flask]
    ) -> None:
        strict = admin.twin(reconfigured(WEBHOOK_ALLOWED_NETWORKS="10.20.0.0/16"))
        inside = (
            "127.0.0.1",
            "localhost",
            "[::1]",
            "10.0.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "0x7f000001",
            "no-such-host.invalid",
        )
        sentences = {field_errors(add(strict, f"https://{host}/"))["url"] for host in inside}
        # Without TLS only where the operator allows it.
        sentences.add(field_errors(add(strict, "http://203.0.114.1/"))["url"])
        (sentence,) = sentences
        assert "not allowed here" in sentence
        assert add(strict, "http://10.20.0.7:8080/hooks").status_code == 200

    def test_an_address_that_is_no_longer_allowed_is_not_connected_to(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, reconfigured: Callable[..., Flask]
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        run_job(reconfigured(WEBHOOK_ALLOWED_NETWORKS=None), "flush-webhooks")
        assert receiver.connections == 0
        assert webhooks.endpoint(receiver.url).pause_reason == "The address is not allowed."


class TestSecrets:
    def test_rolling_one_keeps_the_former_for_a_day(
        self, admin: Browser, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        endpoint_id = webhooks.add(receiver)
        former = receiver.secret
        question = parse(admin.get(f"{PAGE}/{endpoint_id}/roll"))
        number = question.select_one("[name=secret_number]")
        assert number is not None
        rolled = secret_on(admin.post(f"{PAGE}/{endpoint_id}/roll", {"secret_number": number["value"]}))
        assert rolled != former

        app_driver.invite(NORDWIND)
        webhooks.flush()
        for secret in (former, rolled):
            assert genuine(receiver.requests[0], secret).type == "client.invited"
        receiver.secret = rolled
        with time_machine.travel(now() + timedelta(hours=24, minutes=1), tick=True):
            app_driver.invite("b@client.test")
            webhooks.flush()
            assert genuine(receiver.requests[1], rolled)
            with pytest.raises(WebhookVerificationError):
                genuine(receiver.requests[1], former)

    def test_a_page_that_is_sent_again_rolls_none(
        self, app: Flask, admin: Browser, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        endpoint_id = webhooks.add(receiver)
        admin.post(f"{PAGE}/{endpoint_id}/roll", {"secret_number": "1"})
        encrypted = webhooks.endpoint(receiver.url).encrypted_secret
        assert admin.post(f"{PAGE}/{endpoint_id}/roll", {"secret_number": "1"}).status_code == 409
        assert webhooks.endpoint(receiver.url).encrypted_secret == encrypted

    def test_one_that_cannot_be_read_is_told_and_rolling_mends_it(
        self,
        app: Flask,
        app_driver: AppDriver,
        webhooks: Webhooks,
        receiver: Receiver,
        reconfigured: Callable[..., Flask],
    ) -> None:
        endpoint_id = webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        other = reconfigured(SECRET_KEY="quite another key than the old one")
        run_job(other, "flush-webhooks")
        assert "Roll the secret" in (webhooks.endpoint(receiver.url).pause_reason or "")
        receiver.secret = AppDriver(other).do(roll_secret, HARBOUR, endpoint_id, 1)
        run_job(other, "flush-webhooks")
        assert webhooks.states() == ["delivered"]


class TestDeliveries:
    def test_each_is_shown_with_what_became_of_it(
        self, admin: Browser, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.add(receiver)
        assert "No event yet" in admin.get(PAGE).text
        client_id = app_driver.invite(NORDWIND)
        receiver.answer = lambda told: Reply(204 if told.data["invitation"] == 1 else 500)
        webhooks.flush()
        app_driver.resend(client_id)
        webhooks.flush()
        waiting, delivered = rows(admin)
        assert delivered[:2] == ("delivered", "client.invited")
        assert waiting[0] == "queued"
        assert "1 attempt, next try in" in waiting[2]
        assert "It answered 500." in waiting[2]

        webhooks.let_three_days_pass()
        webhooks.flush()
        given_up, delivered = rows(admin)
        assert given_up[0] == "given_up"
        page = parse(admin.get(PAGE))
        assert [words(one) for one in page.select("h2")][:3] == ["Endpoints", "Given up", "Newest events"]

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
        assert "Away" in admin.get(PAGE).text
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


class TestOperators:
    def printed(self, app: Flask, *arguments: str) -> str:
        done = app.test_cli_runner().invoke(args=["webhooks", *arguments])
        assert (done.exit_code, done.stderr) == (0, "")
        return str(done.stdout)

    def test_see_the_queue_and_one_delivery_and_try_again(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        receiver.answer = lambda _event: Reply(500)
        webhooks.flush()
        webhooks.let_three_days_pass()
        webhooks.flush()
        assert re.search(r"given_up +\(all\) +1 +\d+ s\n +harbour +1 ", self.printed(app, "status"))
        name = receiver.events[0].id
        shown = self.printed(app, "show", name)
        assert re.search(r"state +given_up\n", shown)
        assert re.search(r"last answer +It answered 500\.\n", shown)
        assert NORDWIND not in shown
        assert "Nordwind" not in shown
        assert self.printed(app, "retry", name) == "1 queued again\n"
        assert self.printed(app, "retry", "--given-up", "--portal", HARBOUR) == "0 queued again\n"
        receiver.answer = lambda _event: Reply()
        webhooks.flush()
        assert webhooks.states() == ["delivered"]

    def test_are_told_what_cannot_be_done(self, app: Flask, app_driver: AppDriver, webhooks: Webhooks) -> None:
        with app.app_context():
            add_endpoint(HARBOUR, "https://203.0.114.1/", "", [])
        for arguments in (["show", "nonsense"], ["retry", str(uuid4())], ["retry", "--given-up", "--portal", "none"]):
            refused = app.test_cli_runner().invoke(args=["webhooks", *arguments])
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert len(refused.stderr.splitlines()) == 1

    def test_read_figures(
        self, app: Flask, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, admin: Browser
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        (held,) = webhooks.claim()
        app_driver.invite("b@client.test")
        webhooks.settle(held, Verdict.AWAY)
        figures = {
            (sample.name.removeprefix("imported_clients_webhook_"), sample.labels.get("state", "")): sample.value
            for family in text_string_to_metric_families(app.test_client().get("/metrics").text)
            for sample in family.samples
        }
        assert figures["deliveries", "queued"] == 2
        assert figures["endpoints_paused", ""] == 1
        assert figures["overdue_seconds", ""] == 0.0
        webhooks.end_pauses()
        assert webhooks.claim()

    def test_logs_hold_nothing_of_what_was_told(
        self, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        webhooks.add(receiver)
        app_driver.invite(NORDWIND)
        receiver.answer = lambda _event: Reply(500)
        webhooks.flush()
        assert "not delivered (attempt 1, refused)" in caplog.text
        assert receiver.events[0].id in caplog.text
        for secret in (NORDWIND, "Nordwind", receiver.url, receiver.secret):
            assert secret not in caplog.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_receiver_in_the_documentation_works(
    app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver, tmp_path: Path
) -> None:
    """Its code is taken out of the page, and gets a real request."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "webhooks.md").read_text(), re.DOTALL)
    webhooks.add(receiver)
    app_driver.invite(NORDWIND)
    webhooks.flush()
    (request,) = receiver.requests
    example = example.replace("whsec_…", receiver.secret)
    scope: dict[str, object] = {"__name__": "receiver"}
    exec(compile(example, "docs/webhooks.md", "exec"), scope)
    app = scope["app"]
    assert isinstance(app, Flask)
    client = app.test_client()
    for expected in (204, 204):
        assert client.post("/hooks", data=request.body, headers=dict(request.headers)).status_code == expected
    assert scope["invited"] == {str(app_driver.client(NORDWIND).id): NORDWIND}
    forged = dict(request.headers) | {"webhook-signature": Webhook("whsec_" + "A" * 32).sign("x", now(), "{}")}
    assert client.post("/hooks", data=request.body, headers=forged).status_code == 400
