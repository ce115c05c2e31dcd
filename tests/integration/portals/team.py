"""Ada at the page of her portal's team, and the mails that come of what she does there."""

from __future__ import annotations

from typing import Any

from werkzeug.test import TestResponse

from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, path_of, words
from tests.support.smtp import MailServer, Taken

TEAM = f"/portals/{HARBOUR}/settings/team"
ADA, SAM, CARLA, OLAF = "ada@harbour.test", "sam@harbour.test", "carla@client.test", "olaf@alpine.test"
NORA = "nora@harbour.test"
FORM = {"name": "Nora Wind", "password": "a long enough passphrase"}


class Team:
    """Ada at the page, and the mails that come of what she does."""

    def __init__(self, app_driver: AppDriver, admin: Browser, outbox: Outbox, mail_server: MailServer) -> None:
        self.admin = admin
        self._app_driver, self._outbox, self._mail_server = app_driver, outbox, mail_server

    def id_of(self, email: str) -> int:
        return self._app_driver.user(email).id

    def invite(self, email: str = NORA, role: str = "staff", **more: Any) -> TestResponse:
        return self.admin.post(TEAM, {"email": email, "role": role}, **more)

    def do(self, verb: str, email: str, form: dict[str, str] | None = None, **more: Any) -> TestResponse:
        return self.admin.post(f"{TEAM}/{self.id_of(email)}/{verb}", form, **more)

    def rows(self) -> dict[str, str]:
        """The roles of the members by their addresses, as the page shows them."""
        page = parse(self.admin.get(TEAM))
        return {
            words(row.select_one("[data-col=email]")): row["data-role"] for row in page.select("tr[data-member-id]")
        }

    def invited(self) -> dict[str, tuple[str, str]]:
        """Role and progress of the open invitations, by address."""
        rows = parse(self.admin.get(TEAM)).select("tr[data-invitation-id]")
        return {words(row.select_one("[data-col=email]")): (row["data-role"], row["data-progress"]) for row in rows}

    def invitation(self, verb: str, email: str = NORA, **more: Any) -> TestResponse:
        (row,) = [
            row
            for row in parse(self.admin.get(TEAM)).select("tr[data-invitation-id]")
            if words(row.select_one("[data-col=email]")) == email
        ]
        return self.admin.post(f"{TEAM}/invitations/{row['data-invitation-id']}/{verb}", **more)

    def mails(self, *recipients: str) -> list[Taken]:
        """What is sent now, to these."""
        self._mail_server.reset()
        self._outbox.flush()
        found = [mail for mail in self._mail_server.mails if mail.recipient in recipients]
        return sorted(found, key=lambda mail: recipients.index(mail.recipient))

    def link(self, email: str = NORA) -> str:
        """The link that is sent now."""
        (mail,) = [mail for mail in self.mails(email) if "/team-invitations/" in mail.text]
        return path_of(mail.link)


def error(response: TestResponse) -> str:
    """What is wrong with the typed address."""
    return words(parse(response).select_one("#email-error"))


def prose(mail: Taken) -> str:
    """The text of a mail, in one line."""
    return " ".join(mail.text.split())
