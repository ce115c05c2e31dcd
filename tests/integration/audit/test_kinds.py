"""Every kind of line is recorded by what causes it, over HTTP or by a command, and says who did it."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from app.db.transactions import transaction
from app.jobs.schedule import run_job
from app.models import (
    ActorKind,
    AuditKind,
    ImportedClient,
)
from tests.conftest import HARBOUR
from tests.integration.accounts.moving import NEW, move
from tests.integration.accounts.phone import PAGE, give, password_only, set_up
from tests.integration.audit.stage import ADA, HOOK, INVITEE, SAM, SETTINGS, Stage
from tests.integration.audit.trail import kinds, lines
from tests.support.browser import Browser, ic
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.pictures import a_picture
from tests.support.shell import hand_over, log_out, register

DESIGN = {"display_name": "Hafen", "language": "de", "accent": "#7a1f5c"}
LATER = {
    AuditKind.ACCESS_ENDED,
    AuditKind.ACCESS_GIVEN_BACK,
    AuditKind.PASSWORD_CHANGED,
    AuditKind.NAME_CHANGED,
}
"""What nothing does yet."""


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


def delete_account(stage: Stage) -> None:
    """Sam does, who is staff. Nobody is named then."""
    browser = Browser(stage.app)
    browser.sign_in(SAM, PASSWORD)
    assert browser.post("/account/delete", {"current_password": PASSWORD}).status_code == 303


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
    "second factor required": (
        AuditKind.SECOND_FACTOR_REQUIRED,
        BY_ADA,
        lambda s: s.post("team/second-factor", {"require_second_factor": "1"}),
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
    "second factor": (AuditKind.SECOND_FACTOR_SET, BY_ADA, lambda s: set_up(s.admin)),
    "second factor removed": (
        AuditKind.SECOND_FACTOR_REMOVED,
        BY_ADA,
        lambda s: set_up(s.admin).browser.post(f"{PAGE}/remove", {"password": PASSWORD}),
    ),
    "second factor reset": (
        AuditKind.SECOND_FACTOR_RESET,
        BY_COMMAND,
        lambda s: (set_up(s.admin), s.run("user", "reset-second-factor", "--email", ADA, "--yes")),
    ),
    "recovery codes": (
        AuditKind.RECOVERY_CODES_MADE,
        BY_ADA,
        lambda s: set_up(s.admin).browser.post(f"{PAGE}/recovery-codes", {"password": PASSWORD}),
    ),
    "wrong code": (
        AuditKind.SIGN_IN_FAILED,
        BY_NOBODY,
        lambda s: (set_up(s.admin), give(password_only(s.app), "000000")),
    ),
    "address": (
        AuditKind.EMAIL_CHANGED,
        (ActorKind.PERSON, NEW),
        lambda s: move(s.app, s.outbox, s.mail_server),
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
    "delete one's own account": (AuditKind.ACCOUNT_DELETED, (ActorKind.PERSON, None), delete_account),
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
