"""The main job, whole, over plain HTTP forms: an admin invites, the client registers, verifies and has joined."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.conftest import HARBOUR, Outbox
from tests.support.browser import Browser, ic, parse
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases


def test_invite_register_verify_joined(
    app: Flask, admin: Browser, outbox: Outbox, mail_server: MailServer, nobody: Browser
) -> None:
    saved = admin.post(ic(HARBOUR), {"company_name": "  Nordwind\t Reisen ", "email": " Info@Nordwind.TEST "})
    assert saved.status_code == 303
    row = admin.row(HARBOUR, "info@nordwind.test")
    assert (row.company_name, row.status, row.delivery) == ("Nordwind Reisen", "invite_sent", "queued")

    outbox.flush()
    invitation = mail_server.wait_for("info@nordwind.test")
    assert invitation.link.startswith("http://clients.harbour.test/invitations/")
    assert admin.row(HARBOUR, "info@nordwind.test").delivery == "sent"

    page = nobody.get(invitation.link)
    assert page.status_code == 200
    assert "Harbour Tours" in page.text
    assert "info@nordwind.test" in page.text
    registered = nobody.post(invitation.link, {"name": "Nora Wind", "password": "a long enough passphrase"})
    assert registered.status_code == 303
    assert admin.row(HARBOUR, "info@nordwind.test").status == "invite_sent"

    outbox.flush()
    verification = mail_server.wait_for("info@nordwind.test", count=2)
    assert "/verify-email/" in verification.link
    assert nobody.get(verification.link).status_code == 200
    assert admin.row(HARBOUR, "info@nordwind.test").status == "invite_sent"
    assert nobody.post(verification.link).status_code == 303

    row = admin.row(HARBOUR, "info@nordwind.test")
    assert (row.status, row.buttons) == ("joined", [])

    assert nobody.sign_in("info@nordwind.test", "a long enough passphrase").location == "/portals"
    portals = nobody.get("/portals")
    assert "You are in Harbour Tours" in parse(portals).get_text(" ")
