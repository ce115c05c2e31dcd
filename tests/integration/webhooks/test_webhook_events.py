"""A portal's own systems are told every event, in its order and signed, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from flask import Flask

from app.clients.bulk import remove_clients, resend_clients
from app.clients.service import correct_client
from app.extensions import db
from app.invitations.service import invitation_url
from app.models import ImportedClient, WebhookEvent
from app.outbox.errors import PermanentFailure
from app.registration.service import accept
from app.webhooks.endpoints import switch_endpoint
from tests.conftest import ALPINE, HARBOUR
from tests.integration.webhooks.conftest import BERGHOF, NORDWIND
from tests.integration.webhooks.harbour_receiver import WithReceiver
from tests.support.app_driver import AppDriver
from tests.support.databases import on_sqlite
from tests.support.factories import import_file, make_user
from tests.support.webhooks import Receiver, Webhooks

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app")]


class TestWhatIsTold(WithReceiver):
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
            import_file(HARBOUR, *(f"c{number}@client.test" for number in range(15)))
        ids = [app_driver.client(f"c{number}@client.test").id for number in range(15)]
        act_on(app, resend_clients, ids[:10], app_driver)
        act_on(app, remove_clients, ids[5:10], app_driver)
        webhooks.flush()
        for number, client_id in enumerate(ids):
            told = [(one.type, one.data["invitation"]) for one in receiver.of(client_id)]
            expected = [("client.invited", 1), ("client.invited", 2), ("client.removed", 2)]
            assert told == expected[: 2 if number < 5 else 3 if number < 10 else 1]

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

    @on_sqlite
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


def act_on(app: Flask, action: Callable[..., object], ids: list[UUID], app_driver: AppDriver) -> None:
    with app.app_context():
        action(HARBOUR, ids, app_driver.user("ada@harbour.test").id)


def join(app: Flask, client: ImportedClient) -> None:
    """What an invitee with a verified account does."""
    with app.app_context():
        user_id = make_user(client.email, "Joined Person")
        accept(invitation_url(HARBOUR, client.id, client.generation).rpartition("/")[2], user_id)
