"""Client admins add endpoints in Settings, Webhooks, and rotate the secrets that sign what is sent there."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug.test import TestResponse

from app.core.clock import now
from app.jobs.schedule import run_job
from app.webhooks.endpoints import rotate_secret
from config import ROOT
from tests.conftest import HARBOUR
from tests.integration.webhooks.conftest import NORDWIND
from tests.integration.webhooks.settings_page import PAGE, add, rows
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, parse, words
from tests.support.webhooks import Receiver, Webhooks, genuine

pytestmark = pytest.mark.usefixtures("app")


def secret_on(response: TestResponse) -> str:
    (shown,) = parse(response).select("#webhook-secret")
    return words(shown)


class TestEndpoints:
    def test_one_is_added_and_its_secret_is_shown_once(
        self, admin: Browser, app_driver: AppDriver, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        added = add(admin, receiver.url, ["client.joined"], "For B-Portal")
        receiver.secret = secret_on(added)
        assert receiver.secret.startswith("whsec_")
        page = admin.get(PAGE)
        assert receiver.secret not in page.text
        assert receiver.secret.removeprefix("whsec_") not in app_driver.dump(with_audit=True)
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
        assert "are deleted too" in admin.get(f"{PAGE}/{endpoint_id}/delete").text
        assert admin.post(f"{PAGE}/{endpoint_id}/delete").status_code == 303
        assert (webhooks.deliveries(), rows(admin)) == ([], [])

    def test_there_are_five_at_most(self, admin: Browser) -> None:
        for number in range(5):
            assert add(admin, f"https://203.0.114.{number}/hooks").status_code == 200
        assert add(admin, "https://203.0.114.9/hooks").status_code == 409
        assert "Add endpoint" not in admin.get(PAGE).text

    def test_what_cannot_be_used_is_refused_with_what_to_do(self, admin: Browser) -> None:
        refused = {
            "": "must start with https://",
            "ftp://b-portal.example": "must start with https://",
            "https://user:pass@b-portal.example": "user name or a password",
            "https://b-portal.example/a b": "a character that isn't allowed",
        }
        for url, words_of_it in refused.items():
            response = add(admin, url)
            assert response.status_code == 422
            assert words_of_it in field_errors(response)["url"], url
        assert field_errors(add(admin, "https://203.0.114.1", events=[]))["events"] == "Select at least one event."
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
        assert "isn't allowed here" in sentence
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
        question = parse(admin.get(f"{PAGE}/{endpoint_id}/rotate"))
        number = question.select_one("[name=secret_number]")
        assert number is not None
        rotated = secret_on(admin.post(f"{PAGE}/{endpoint_id}/rotate", {"secret_number": number["value"]}))
        assert rotated != former

        app_driver.invite(NORDWIND)
        webhooks.flush()
        for secret in (former, rotated):
            assert genuine(receiver.requests[0], secret).type == "client.invited"
        receiver.secret = rotated
        with time_machine.travel(now() + timedelta(hours=24, minutes=1), tick=True):
            app_driver.invite("b@client.test")
            webhooks.flush()
            assert genuine(receiver.requests[1], rotated)
            with pytest.raises(WebhookVerificationError):
                genuine(receiver.requests[1], former)

    def test_a_page_that_is_sent_again_rolls_none(
        self, app: Flask, admin: Browser, webhooks: Webhooks, receiver: Receiver
    ) -> None:
        endpoint_id = webhooks.add(receiver)
        admin.post(f"{PAGE}/{endpoint_id}/rotate", {"secret_number": "1"})
        encrypted = webhooks.endpoint(receiver.url).encrypted_secret
        assert admin.post(f"{PAGE}/{endpoint_id}/rotate", {"secret_number": "1"}).status_code == 409
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
        assert "Rotate the secret" in (webhooks.endpoint(receiver.url).pause_reason or "")
        receiver.secret = AppDriver(other).do(rotate_secret, HARBOUR, endpoint_id, 1)
        run_job(other, "flush-webhooks")
        assert webhooks.states() == ["delivered"]


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
