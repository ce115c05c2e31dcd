"""Who and what an action that leaves a line needs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask import Flask
from sqlalchemy import select, update

from app.core.clock import now
from app.db.transactions import transaction
from app.extensions import db
from app.models import ClientImport, ColleagueInvitation, MailState, WebhookDelivery, WebhookEndpoint, WebhookState
from tests.conftest import HARBOUR, Outbox
from tests.integration.cli.running import run
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.smtp import MailServer

ADA, SAM, INVITEE = "ada@harbour.test", "sam@harbour.test", "info@nordwind.test"
SETTINGS = f"/portals/{HARBOUR}/settings"
HOOK = "https://127.0.0.1:1/a-secret-path"


@dataclass
class Stage:
    """What Ada and an operator do."""

    app: Flask
    app_driver: AppDriver
    admin: Browser
    outbox: Outbox
    mail_server: MailServer

    def post(self, path: str, data: dict[str, object] | None = None) -> None:
        response = self.admin.post(f"{SETTINGS}/{path}", data)
        assert response.status_code < 400, response.text

    def run(self, *words: str, stdin: bytes | None = None) -> None:
        done = run(self.app, *words, stdin=stdin)
        assert done.exit_code == 0, done.output

    def client(self) -> UUID:
        return self.app_driver.invite(INVITEE)

    def endpoint(self) -> UUID:
        self.post("webhooks", {"url": HOOK, "events": ["client.invited"]})
        return self.app_driver.do(lambda: db.session.scalars(select(WebhookEndpoint.id)).one())  # type: ignore[no-any-return]

    def colleague(self) -> UUID:
        """One who was invited a while ago, so that a press of Resend is no second one."""
        self.post("team", {"email": "nora@harbour.test", "role": "staff"})

        def find() -> UUID:
            with transaction() as session:
                session.execute(update(ColleagueInvitation).values(invited_at=now() - timedelta(hours=1)))
                return session.scalars(select(ColleagueInvitation.id)).one()

        return self.app_driver.do(find)  # type: ignore[no-any-return]

    def imported(self) -> UUID:
        file = io.BytesIO(f"company_name,email\nNordwind,{INVITEE}\nSued,info@sued.test\n".encode())
        response = self.admin.post(f"{ic(HARBOUR)}/import", {"file": (file, "list of Wanda.csv")})
        assert response.status_code == 303
        return self.app_driver.do(lambda: db.session.scalars(select(ClientImport.id)).one())  # type: ignore[no-any-return]

    def fail(self) -> None:
        """A mail fails, as if its server had refused it."""
        self.client()
        self.app_driver.change_mail(self.app_driver.mail(INVITEE).id, state=MailState.FAILED)

    def give_up(self) -> None:
        """A webhook is given up."""
        self.endpoint()
        self.client()

        def change() -> None:
            with transaction() as session:
                session.execute(update(WebhookDelivery).values(state=WebhookState.GIVEN_UP))

        self.app_driver.do(change)
