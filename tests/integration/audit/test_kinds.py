"""Every kind of line is recorded by what causes it, over HTTP or by a command, and says who did it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select, update

from app.db.transactions import transaction
from app.extensions import db
from app.jobs.schedule import run_job
from app.models import (
    ActorKind,
    AuditKind,
    ClientImport,
    ColleagueInvitation,
    ImportedClient,
    MailState,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookState,
)
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.audit.trail import Line, kinds, lines
from tests.integration.cli.running import run
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.pictures import a_picture
from tests.support.shell import hand_over, log_out, register, says, signed
from tests.support.smtp import MailServer

ADA, SAM, INVITEE = "ada@harbour.test", "sam@harbour.test", "info@nordwind.test"
SETTINGS = f"/portals/{HARBOUR}/settings"
HOOK = "https://127.0.0.1:1/a-secret-path"
DESIGN = {"display_name": "Hafen", "language": "de", "accent": "#7a1f5c"}
LATER = {
    AuditKind.ACCESS_ENDED,
    AuditKind.ACCESS_GIVEN_BACK,
    AuditKind.PASSWORD_CHANGED,
    AuditKind.EMAIL_CHANGED,
    AuditKind.NAME_CHANGED,
    AuditKind.SECOND_FACTOR_SET,
    AuditKind.SECOND_FACTOR_REMOVED,
    AuditKind.SECOND_FACTOR_RESET,
    AuditKind.SECOND_FACTOR_REQUIRED,
    AuditKind.RECOVERY_CODES_MADE,
    AuditKind.ACCOUNT_DELETED,
}
"""What nothing does yet."""


@dataclass
class Stage:
    """Who and what an action needs."""

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
                session.execute(update(ColleagueInvitation).values(invited_at=datetime.now(UTC) - timedelta(hours=1)))
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


def reset_password(stage: Stage) -> None:
    browser = Browser(stage.app)
    browser.post("/password-reset", {"email": ADA})
    stage.outbox.flush()
    assert browser.post(stage.mail_server.wait_for(ADA).link, {"password": OTHER_PASSWORD}).status_code == 303


def old_invitation(stage: Stage) -> None:
    """Nobody accepts it, and the operator keeps such for so long."""
    stage.client()
    stage.outbox.flush()
    long_ago = datetime.now(UTC) - timedelta(days=400)

    def change() -> None:
        with transaction() as session:
            session.execute(update(ImportedClient).values(email_last_sent_at=long_ago, link_expires_at=long_ago))

    stage.app_driver.do(change)
    assert run_job(stage.app, "retention")


def shell_signs_in(stage: Stage) -> Browser:
    register(stage.app, HARBOUR)
    browser = Browser(stage.app)
    assert hand_over(browser).status_code == 303
    return browser


BY_ADA = (ActorKind.PERSON, ADA)
BY_COMMAND = (ActorKind.COMMAND, None)
BY_NOBODY = (ActorKind.NOBODY, None)
CASES: dict[str, tuple[AuditKind, tuple[ActorKind, str | None], Callable[[Stage], object]]] = {
    "settings": (AuditKind.SETTINGS_CHANGED, BY_ADA, lambda s: s.post("invitations", {"join_notice": "daily"})),
    "draft": (AuditKind.BRANDING_CHANGED, BY_ADA, lambda s: s.post("branding", DESIGN)),
    "logo": (
        AuditKind.BRANDING_CHANGED,
        BY_ADA,
        lambda s: s.post("branding/logo", {"logo": (io.BytesIO(a_picture("PNG")), "logo.png")}),
    ),
    "publish": (AuditKind.BRANDING_PUBLISHED, BY_ADA, lambda s: s.post("branding/publish", DESIGN)),
    "discard": (
        AuditKind.BRANDING_DISCARDED,
        BY_ADA,
        lambda s: (s.post("branding", DESIGN), s.post("branding/discard")),
    ),
    "mail server": (
        AuditKind.MAIL_SERVER_CHANGED,
        BY_ADA,
        lambda s: s.post("email", {"server": "deployment", "reply_to": "desk@harbour.test"}),
    ),
    "mail server by command": (
        AuditKind.MAIL_SERVER_CHANGED,
        BY_COMMAND,
        lambda s: s.run("portal", "mail-server", "--portal", HARBOUR, "--host", "m.test", "--sender", "a@m.test"),
    ),
    "test mail": (AuditKind.MAIL_TESTED, BY_ADA, lambda s: s.post("email/test")),
    "endpoint": (AuditKind.WEBHOOK_ADDED, BY_ADA, lambda s: s.endpoint()),
    "endpoint changed": (
        AuditKind.WEBHOOK_CHANGED,
        BY_ADA,
        lambda s: s.post(f"webhooks/{s.endpoint()}", {"url": f"{HOOK}2", "events": ["client.joined"]}),
    ),
    "endpoint off": (AuditKind.WEBHOOK_CHANGED, BY_ADA, lambda s: s.post(f"webhooks/{s.endpoint()}/switch")),
    "secret": (
        AuditKind.WEBHOOK_SECRET_ROTATED,
        BY_ADA,
        lambda s: s.post(f"webhooks/{s.endpoint()}/rotate", {"secret_number": "1"}),
    ),
    "test event": (AuditKind.WEBHOOK_TESTED, BY_ADA, lambda s: s.post(f"webhooks/{s.endpoint()}/test")),
    "endpoint deleted": (AuditKind.WEBHOOK_REMOVED, BY_ADA, lambda s: s.post(f"webhooks/{s.endpoint()}/delete")),
    "events again": (
        AuditKind.WEBHOOKS_RETRIED,
        BY_ADA,
        lambda s: (s.give_up(), s.post("webhooks/deliveries/again")),
    ),
    "events again by command": (
        AuditKind.WEBHOOKS_RETRIED,
        BY_COMMAND,
        lambda s: (s.give_up(), s.run("webhooks", "retry", "--given-up")),
    ),
    "mails again": (AuditKind.MAILS_RETRIED, BY_COMMAND, lambda s: (s.fail(), s.run("outbox", "retry", "--failed"))),
    "origins": (AuditKind.EMBEDDING_CHANGED, BY_ADA, lambda s: s.post("embedding", {"origins": "https://b.test"})),
    "origin by command": (
        AuditKind.EMBEDDING_CHANGED,
        BY_COMMAND,
        lambda s: s.run("portal", "allow-origin", "--portal", HARBOUR, "https://b.test"),
    ),
    "issuer by command": (
        AuditKind.EMBEDDING_CHANGED,
        BY_COMMAND,
        lambda s: (
            register(s.app),
            s.run("issuer", "grant", "--issuer", "https://shell.test", "--portal", HARBOUR),
        ),
    ),
    "colleague invited": (AuditKind.COLLEAGUE_INVITED, BY_ADA, lambda s: s.colleague()),
    "colleague resent": (
        AuditKind.COLLEAGUE_RESENT,
        BY_ADA,
        lambda s: s.post(f"team/invitations/{s.colleague()}/resend"),
    ),
    "colleague withdrawn": (
        AuditKind.COLLEAGUE_WITHDRAWN,
        BY_ADA,
        lambda s: s.post(f"team/invitations/{s.colleague()}/withdraw"),
    ),
    "role given": (
        AuditKind.ROLE_GIVEN,
        BY_COMMAND,
        lambda s: s.run("user", "grant", "--portal", HARBOUR, "--email", "olaf@alpine.test", "--role", "staff"),
    ),
    "role changed": (
        AuditKind.ROLE_CHANGED,
        BY_COMMAND,
        lambda s: s.run("user", "grant", "--portal", HARBOUR, "--email", SAM, "--role", "client_admin"),
    ),
    "role taken": (
        AuditKind.ROLE_TAKEN,
        BY_COMMAND,
        lambda s: s.run("user", "revoke", "--portal", HARBOUR, "--email", SAM, "--role", "staff"),
    ),
    "role by a shell": (AuditKind.ROLE_GIVEN, (ActorKind.SHELL, None), shell_signs_in),
    "add": (
        AuditKind.CLIENT_ADDED,
        BY_ADA,
        lambda s: s.post("accounts/imported-clients", {"company_name": "Nordwind", "email": INVITEE}),
    ),
    "correct": (
        AuditKind.CLIENT_CORRECTED,
        BY_ADA,
        lambda s: s.post(
            f"accounts/imported-clients/{s.client()}/correct", {"company_name": "Suedwind", "email": INVITEE}
        ),
    ),
    "resend": (AuditKind.CLIENT_RESENT, BY_ADA, lambda s: s.post(f"accounts/imported-clients/{s.client()}/resend")),
    "resend by command": (
        AuditKind.CLIENT_RESENT,
        BY_COMMAND,
        lambda s: (s.client(), s.run("client", "resend", "--portal", HARBOUR, "--email", INVITEE)),
    ),
    "remove": (AuditKind.CLIENT_REMOVED, BY_ADA, lambda s: s.post(f"accounts/imported-clients/{s.client()}/remove")),
    "remove by command": (
        AuditKind.CLIENT_REMOVED,
        BY_COMMAND,
        lambda s: (s.client(), s.run("client", "remove", "--portal", HARBOUR, "--email", INVITEE, "--yes")),
    ),
    "erase": (
        AuditKind.CLIENT_ERASED,
        BY_COMMAND,
        lambda s: (s.client(), s.run("client", "erase", "--portal", HARBOUR, "--email", INVITEE, "--yes")),
    ),
    "resend many": (
        AuditKind.CLIENTS_RESENT,
        BY_ADA,
        lambda s: s.post("accounts/imported-clients/bulk/resend", {"client_id": str(s.client())}),
    ),
    "remove many": (
        AuditKind.CLIENTS_REMOVED,
        BY_ADA,
        lambda s: s.post("accounts/imported-clients/bulk/remove", {"client_id": str(s.client())}),
    ),
    "retention": (AuditKind.CLIENTS_REMOVED, (ActorKind.JOB, None), old_invitation),
    "import": (AuditKind.IMPORT_MADE, BY_ADA, lambda s: s.imported()),
    "import by command": (
        AuditKind.IMPORT_MADE,
        BY_COMMAND,
        lambda s: s.run(
            "import", "-", "--portal", HARBOUR, "--by", ADA, stdin=b"company_name,email\nNordwind,info@n.test\n"
        ),
    ),
    "take back": (
        AuditKind.IMPORT_TAKEN_BACK,
        BY_ADA,
        lambda s: s.post(f"accounts/imported-clients/imports/{s.imported()}/take-back"),
    ),
    "export": (AuditKind.EXPORTED, BY_ADA, lambda s: s.admin.get(f"{ic(HARBOUR)}/export.csv")),
    "export of the audit": (AuditKind.EXPORTED, BY_ADA, lambda s: s.admin.get(f"{SETTINGS}/audit.csv")),
    "sign-in": (AuditKind.SIGNED_IN, BY_ADA, lambda s: Browser(s.app).sign_in(ADA, PASSWORD)),
    "sign-in by a shell": (AuditKind.SIGNED_IN, (ActorKind.SHELL, "hanna@shell.test"), shell_signs_in),
    "wrong password": (AuditKind.SIGN_IN_FAILED, BY_NOBODY, lambda s: Browser(s.app).sign_in(ADA, "wrong")),
    "sign-out": (AuditKind.SIGNED_OUT, BY_ADA, lambda s: s.admin.post("/logout")),
    "sign-out by a shell": (
        AuditKind.SIGNED_OUT,
        (ActorKind.SHELL, "hanna@shell.test"),
        lambda s: log_out(shell_signs_in(s)),
    ),
    "sign-out of whom a shell signed in": (
        AuditKind.SIGNED_OUT,
        (ActorKind.SHELL, "hanna@shell.test"),
        lambda s: shell_signs_in(s).post("/logout"),
    ),
    "sessions ended": (
        AuditKind.SESSIONS_ENDED,
        BY_COMMAND,
        lambda s: s.run("user", "sessions-end", "--email", ADA),
    ),
    "password by mail": (AuditKind.PASSWORD_SET, BY_ADA, reset_password),
    "password by command": (
        AuditKind.PASSWORD_SET,
        BY_COMMAND,
        lambda s: s.run("user", "set-password", "--email", ADA, "--password", OTHER_PASSWORD),
    ),
    "disable": (AuditKind.USER_DISABLED, BY_COMMAND, lambda s: s.run("user", "disable", "--email", ADA)),
    "enable": (
        AuditKind.USER_ENABLED,
        BY_COMMAND,
        lambda s: (s.run("user", "disable", "--email", ADA), s.run("user", "enable", "--email", ADA)),
    ),
    "erase an account": (AuditKind.USER_ERASED, BY_COMMAND, lambda s: s.run("user", "erase", "--email", SAM, "--yes")),
    "rename": (
        AuditKind.PORTAL_RENAMED,
        BY_COMMAND,
        lambda s: s.run("portal", "rename", "--portal", HARBOUR, "--name", "Hafen"),
    ),
    "delete": (
        AuditKind.PORTAL_DELETED,
        BY_COMMAND,
        lambda s: s.run("portal", "delete", "--portal", HARBOUR, "--yes"),
    ),
}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "KEEP_INVITATIONS_DAYS": "30"}


@pytest.fixture
def stage(app: Flask, app_driver: AppDriver, admin: Browser, outbox: Outbox, mail_server: MailServer) -> Stage:
    return Stage(app, app_driver, admin, outbox, mail_server)


@pytest.mark.parametrize("case", CASES)
def test_what_is_done_is_told_with_who_did_it(stage: Stage, case: str) -> None:
    kind, (by, actor), act = CASES[case]
    act(stage)
    (line,) = [one for one in lines(stage.app_driver) if one.kind is kind]
    assert (line.by, line.actor) == (by, actor)
    # A command and a job come from no network.
    assert line.network == (None if by in {ActorKind.COMMAND, ActorKind.JOB} else "127.0.0.0/24")


def test_a_new_portal_begins_its_trail(stage: Stage) -> None:
    stage.run("portal", "create", "--name", "Beach", "--id", "beach")
    assert kinds(stage.app_driver, "beach") == [AuditKind.PORTAL_CREATED]


def test_every_kind_has_its_cause() -> None:
    caused = {kind for kind, _by, _act in CASES.values()}
    assert caused | LATER | {AuditKind.PORTAL_CREATED} == set(AuditKind)
    assert not caused & LATER


def test_what_is_refused_or_undone_leaves_no_line(stage: Stage) -> None:
    client_id = stage.client()
    before = lines(stage.app_driver)
    for path, data, status in (
        (f"{ic(HARBOUR)}/{client_id}/correct", {"company_name": "", "email": "x"}, 422),
        (f"{SETTINGS}/invitations", {"preview_above": "many", "join_notice": "off"}, 422),
        (f"{SETTINGS}/email", {"server": "own", "host": ""}, 422),
        (f"{ic(HARBOUR)}/bulk/remove", {}, 409),
        # The address is in the table: the transaction ends without a change.
        (ic(HARBOUR), {"company_name": "Nordwind", "email": INVITEE}, 303),
    ):
        assert stage.admin.post(path, data).status_code == status, path
    done = run(stage.app, "user", "grant", "--portal", HARBOUR, "--email", SAM, "--role", "staff")
    assert done.exit_code == 0, "he is staff already"
    assert lines(stage.app_driver) == before


def test_an_import_is_one_line(stage: Stage) -> None:
    stage.imported()
    assert [(line.kind, line.change) for line in lines(stage.app_driver)] == [(AuditKind.IMPORT_MADE, {"clients": 2})]


def test_signing_in_is_told_in_each_portal_of_the_team_and_in_no_other(stage: Stage) -> None:
    stage.run("user", "grant", "--portal", ALPINE, "--email", ADA, "--role", "staff")
    Browser(stage.app).sign_in(ADA, "wrong")
    Browser(stage.app).sign_in("carla@client.test", "wrong")
    Browser(stage.app).sign_in("nobody@harbour.test", "wrong")
    Browser(stage.app).sign_in("carla@client.test", PASSWORD)
    for portal_id in (HARBOUR, ALPINE):
        found = [line for line in lines(stage.app_driver, portal_id) if line.kind is AuditKind.SIGN_IN_FAILED]
        assert [line.target for line in found] == [ADA]
        assert AuditKind.SIGNED_IN not in kinds(stage.app_driver, portal_id)


def test_a_line_says_what_changed_in_our_own_words(stage: Stage) -> None:
    stage.run("user", "grant", "--portal", HARBOUR, "--email", SAM, "--role", "client_admin")
    stage.post("invitations", {"join_notice": "daily", "sends_reminders": "1", "gives_fresh_links": "1"})
    assert [(line.target, line.change) for line in lines(stage.app_driver)] == [
        (SAM, {"role": ["staff", "client_admin"]}),
        (None, {"sends_reminders": [False, True], "join_notice": [None, "daily"]}),
    ]


def test_a_client_of_a_shell_is_no_line_about_the_team(stage: Stage) -> None:
    register(stage.app, HARBOUR)
    assert hand_over(Browser(stage.app), signed(says(role="client"))).status_code == 303
    assert [line.kind for line in lines(stage.app_driver) if line.by is ActorKind.SHELL] == []


def test_whoever_is_renamed_was_somebody_before(stage: Stage) -> None:
    """A line keeps what somebody was called when it was added."""
    first = stage.client()
    stage.app_driver.let_presses_pass()
    stage.post(f"accounts/imported-clients/{first}/correct", {"company_name": "Suedwind", "email": "info@sued.test"})
    found: list[Line] = [line for line in lines(stage.app_driver) if line.target]
    assert [(line.kind, line.target) for line in found] == [
        (AuditKind.CLIENT_ADDED, INVITEE),
        (AuditKind.CLIENT_CORRECTED, "info@sued.test"),
    ]
    assert found[1].change == {"company_name": "changed", "email": "changed"}
