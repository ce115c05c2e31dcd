"""A world has portals with clients in every state and links of every kind, to look around in."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from sqlalchemy import update

from app.accounts.users import find_user
from app.branding.service import Design, publish
from app.core.clock import now
from app.core.links import LinkClaim, LinkKind, make_url
from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import (
    Branding,
    Language,
    MailState,
    Role,
    Stage,
    TlsMode,
    User,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookState,
)
from app.outbox.server_settings import OwnServer, save_own_server
from app.portals.service import grant_role
from app.portals.team import invite_colleague
from app.registration.password_reset import request_reset, set_new_password
from app.registration.service import decline, register
from app.registration.unsubscribe import unsubscribe
from app.registration.verification import Visitor, send_verification_again, verify_email
from app.webhooks.endpoints import EVENTS, add_endpoint
from tests.conftest import ALPINE, HARBOUR
from tests.support import smtp
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.factories import PASSWORD, find_client, import_file, invite, make_member, make_portal, make_user

QUIET = "quiet"
SOUK = "souk"

ADA = "ada@harbour.test"
SAM = "sam@harbour.test"
OLAF = "olaf@alpine.test"
CARLA = "carla@client.test"
ZOE = "zoe@nowhere.test"
UNVERIFIED = "unverified@client.test"
LATE = "late@client.test"

SENDER_DOMAIN = "mails.quiet.test"
LONG_NAME = "Donaudampfschifffahrtsgesellschaftskapitänswitwenundwaisenversorgungsanstalt Regensburg"
LONG_ADDRESS = f"{'a-long-mailbox-name-' * 3}end@{'a-long-domain-' * 4}end.test"
ONE_ROW = {"email": LONG_ADDRESS}
"""The filter of a table behind something. axe looks at its rows as well, and all of them are a place of their own."""


class World:
    """Portals with clients in every state, and links of every kind; nothing in it changes while we look around."""

    def __init__(self, app: Flask, url: str, mails: smtp.MailServer) -> None:
        self.app = app
        self.url = url
        self.link: dict[str, str] = {}
        self._mails = mails
        self._sessions: dict[str, Browser] = {}
        self._app_driver = AppDriver(app)
        with app.app_context():
            self._make_people()
            self._make_clients()
            self._make_accounts()
            self._make_webhooks()
            # Nothing is sent any more: it is only looked at.
            save_own_server(QUIET, OwnServer("mail.quiet.test", 587, TlsMode.STARTTLS, f"tours@{SENDER_DOMAIN}"))
            self.import_path = f"{ic(QUIET)}/imports/{import_file(QUIET, 'one@client.test', 'two@client.test')}"
            self.client_path = f"{ic(HARBOUR)}/{find_client(HARBOUR, LONG_ADDRESS).id}"
            db.session.remove()

    def session_of(self, email: str) -> Browser:
        if email not in self._sessions:
            self._sessions[email] = Browser(self.app)
            assert self._sessions[email].sign_in(email, PASSWORD).status_code == 303
        return self._sessions[email]

    def _make_people(self) -> None:
        make_portal(HARBOUR, "Harbour Tours")
        make_portal(ALPINE, "Alpine Stays")
        make_portal(QUIET, LONG_NAME)
        make_member(HARBOUR, ADA, "Ada Berg", Role.CLIENT_ADMIN)
        grant_role(QUIET, ADA, Role.CLIENT_ADMIN)
        make_member(HARBOUR, SAM, "Sam Lund", Role.STAFF)
        make_member(HARBOUR, CARLA, LONG_NAME, Role.CLIENT)
        make_member(ALPINE, OLAF, "Olaf Nyman", Role.CLIENT_ADMIN)
        make_user(ZOE, "Zoe Ray")
        invite_colleague(HARBOUR, user_id_of(ADA), "colleague@harbour.test", Role.CLIENT_ADMIN)
        self._next_link("colleague", "colleague@harbour.test")
        # Of all colours the one that is hardest to read.
        publish(ALPINE, Design(accent="#ffee00", support_address=LONG_ADDRESS, greeting="Hello {company}!"))

    def _make_clients(self) -> None:
        """Each is called what becomes of it."""
        self._mails.refuse["refused@client.test"] = "550 5.1.1 There is no mailbox of that name here."
        invite(HARBOUR, "refused@client.test", "Refused")
        for name in ("new", "expired", "replaced", "withdrawn", "joined", "unverified", "late", "declined"):
            self._invite(name, f"{name}@client.test", name.capitalize())
        self._invite("for olaf", OLAF, "Alpine Stays")
        self._invite("long", LONG_ADDRESS, LONG_NAME)
        make_portal(SOUK, "سوق السفر")
        grant_role(SOUK, ADA, Role.CLIENT_ADMIN)
        with transaction() as session:
            session.add(Branding(portal_id=SOUK, stage=Stage.PUBLISHED, language=Language.ARABIC))
        invite(SOUK, "arabic@client.test", LONG_NAME)
        self._next_link("arabic", "arabic@client.test")
        self._app_driver.let_link_lapse(find_client(HARBOUR, "expired@client.test").id, now() - timedelta(days=1))
        self._app_driver.resend(find_client(HARBOUR, "replaced@client.test").id)
        self.link["stop reminders"] = _reminders_of("new@client.test")
        self.link["reminders off"] = _reminders_of("declined@client.test")
        unsubscribe(LinkKind.STOP_REMINDERS, token_of(self.link["reminders off"]))
        self.link["reminders of withdrawn"] = _reminders_of("withdrawn@client.test")
        # She has never chosen to be told.
        self.link["notices off"] = make_url(LinkKind.STOP_NOTICES, LinkClaim(f"{HARBOUR}.{user_id_of(ADA)}", 0))
        self._app_driver.remove(find_client(HARBOUR, "withdrawn@client.test").id)
        decline(token_of(self.link["declined"]))

    def _make_accounts(self) -> None:
        for name in ("joined", "unverified", "late"):
            register(token_of(self.link[name]), f"{name.capitalize()} Person", PASSWORD)
            self._next_link(f"verification of {name}", f"{name}@client.test")
        joined = Visitor(user_id_of("joined@client.test"))
        verify_email(token_of(self.link["verification of joined"]), joined)
        send_verification_again(user_id_of(UNVERIFIED))
        self._next_link("newer verification", UNVERIFIED)
        invite(ALPINE, UNVERIFIED, "Unverified", actor=OLAF)
        self._next_link("for unverified", UNVERIFIED)
        with transaction() as session:
            past = now() - timedelta(days=1)
            session.execute(update(User).where(User.email == LATE).values(verification_expires_at=past))
        request_reset(ZOE, "127.0.0.1")
        set_new_password(token_of(self._next_link("reset used", ZOE)), PASSWORD)
        self._next_link("password changed", ZOE)  # its notice comes before the next link
        request_reset(ZOE, "127.0.0.1")
        self._next_link("reset", ZOE)
        for state, note in [(MailState.QUEUED, "The mail server cannot be reached."), (MailState.SENDING, None)]:
            invite(HARBOUR, f"{state}@client.test", state.capitalize())
            mail_id = self._app_driver.mail(f"{state}@client.test").id
            self._app_driver.change_mail(mail_id, state=state, last_error=note)

    def _make_webhooks(self) -> None:
        """Endpoints that are on, away and gone, and a delivery in each state."""
        for host in ("on", "away", LONG_ADDRESS.rpartition("@")[2]):
            add_endpoint(QUIET, f"https://{host}/{'hooks' * 20}", LONG_NAME, EVENTS)
        # None of them is ever asked: nobody delivers here.
        for state in WebhookState:
            invite(QUIET, f"{state}@hooks.test", LONG_NAME)
            with transaction() as session:
                told = WebhookDelivery.email == f"{state}@hooks.test"
                values = {"state": state, "attempts": 2, "last_answer": "It answered 500.", "last_tried_at": now()}
                session.execute(update(WebhookDelivery).where(told).values(**values, delivered_at=now()))
        with transaction() as session:
            away = WebhookEndpoint.url.startswith("https://away/")
            values = {"paused_since": now(), "paused_until": now(), "pause_reason": "The connection was refused."}
            session.execute(update(WebhookEndpoint).where(away).values(**values))
            gone = WebhookEndpoint.url.startswith("https://a-long")
            session.execute(update(WebhookEndpoint).where(gone).values(is_on=False, gone_at=now()))

    def _invite(self, name: str, email: str, company_name: str) -> None:
        invite(HARBOUR, email, company_name)
        self._next_link(name, email)

    def _next_link(self, name: str, email: str) -> str:
        count = len(self._mails.to(email)) + 1
        run_job(self.app, "flush-outbox")
        self.link[name] = self._mails.wait_for(email, count).link
        return self.link[name]


def _reminders_of(email: str) -> str:
    return make_url(LinkKind.STOP_REMINDERS, LinkClaim(f"{HARBOUR}.{find_client(HARBOUR, email).id.hex}", 0))


def token_of(link: str) -> str:
    return link.rpartition("/")[2]


def user_id_of(email: str) -> int:
    user = find_user(email)
    assert user is not None
    return user.id
