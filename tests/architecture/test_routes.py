"""The URL map: every address of a portal is guarded, every other one is open on purpose, and changes need the role."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.routing import Rule

from app import create_app
from config import load_settings

# Open to whoever has the address. A new one is added here by hand, and so by intent.
PUBLIC = {
    "static",
    "brand.accent",
    "brand.logo",
    "embed.loader",
    "embed.shell",
    "handover.log_out",
    "account_deletion.deleted",
    "handover.take_over",
    "health.healthz",
    "health.readyz",
    "identity.home",
    "identity.login",
    "identity.logout",
    "metrics.metrics_page",
    "passkey_sign_in.answer",
    "passkey_sign_in.options",
    "passkey_sign_in.second_step",
    "passkey_sign_in.second_step_options",
    "second_factor.answer",
    "second_factor.ask",
    "registration.answer_colleague_invitation",
    "registration.answer_invitation",
    "registration.colleague_invitation",
    "registration.confirm_verification",
    "registration.confirm_email_change",
    "registration.confirm_new_email",
    "registration.decline_invitation",
    "registration.declined",
    "registration.email_change",
    "registration.email_change_refused",
    "registration.email_changed",
    "registration.fresh_invitation",
    "registration.invitation",
    "registration.new_email",
    "registration.password_reset",
    "registration.password_reset_request",
    "registration.refuse_email_change",
    "registration.refuse_new_email",
    "registration.test_link",
    "registration.verification",
    "registration.verified",
    "registration.verify_notice",
    "unsubscribe.notices",
    "unsubscribe.reminders",
    "unsubscribe.stop_notices",
    "unsubscribe.stop_reminders",
}
# For whoever is signed in, in a portal or not.
SIGNED_IN = {
    "account.choose_language",
    "account_deletion.ask",
    "account_deletion.delete",
    "account.cancel_email",
    "account.change_email",
    "account.email",
    "account.end_other_sessions",
    "account.end_session",
    "account.password",
    "account.rename",
    "account.set_password",
    "account.show",
    "passkeys.add",
    "passkeys.ask_to_remove",
    "passkeys.back",
    "passkeys.options",
    "passkeys.remove",
    "passkeys.rename",
    "passkeys.show",
    "passkeys.step_up_options",
    "own_factors.ask_for_codes",
    "own_factors.ask_to_remove",
    "own_factors.back",
    "own_factors.back_from_codes",
    "own_factors.begin",
    "own_factors.cancel",
    "own_factors.confirm",
    "own_factors.download_codes",
    "own_factors.make_codes",
    "own_factors.remove",
    "own_factors.show",
    "portals.choose",
    "registration.verify_again",
}
DIALOGS = ("/new", "/import", "/remove")


@pytest.fixture(scope="module")
def url_map() -> Flask:
    """The application without a database: its URL map is the same."""
    return create_app(
        load_settings(
            {"DATABASE_URL": "sqlite:///never-opened.sqlite3", "SECRET_KEY": "a key for tests and nothing else"}
        )
    )


def of_a_portal(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if "portal_id" in rule.arguments]


def guard_of(app: Flask, rule: Rule) -> str | None:
    return getattr(app.view_functions[rule.endpoint], "portal_guard", None)


def test_every_address_of_a_portal_has_its_guard(url_map: Flask) -> None:
    guards = {str(rule): guard_of(url_map, rule) for rule in of_a_portal(url_map)}
    assert guards
    assert set(guards.values()) <= {"view", "change"}, guards


def test_every_other_address_is_open_on_purpose(url_map: Flask) -> None:
    elsewhere = {rule.endpoint for rule in url_map.url_map.iter_rules() if "portal_id" not in rule.arguments}
    assert elsewhere == PUBLIC | SIGNED_IN


def test_portals_are_addressed_below_portals_only(url_map: Flask) -> None:
    """So that a proxy, a log filter or a reader can tell an address of a portal by its beginning."""
    for rule in url_map.url_map.iter_rules():
        assert ("portal_id" in rule.arguments) == str(rule).startswith("/portals/<portal_id>/"), rule


def test_what_changes_a_portal_needs_the_right_to_change(url_map: Flask) -> None:
    changing = [rule for rule in of_a_portal(url_map) if (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}]
    assert changing
    assert {str(rule): guard_of(url_map, rule) for rule in changing} == {str(rule): "change" for rule in changing}


def test_dialogs_open_only_for_whom_their_button_works(url_map: Flask) -> None:
    dialogs = {str(rule): guard_of(url_map, rule) for rule in of_a_portal(url_map) if str(rule).endswith(DIALOGS)}
    assert {path.rpartition("/")[2] for path in dialogs} == {name.strip("/") for name in DIALOGS}
    assert set(dialogs.values()) == {"change"}, dialogs


def test_no_address_reads_and_writes_under_a_method_that_reads(url_map: Flask) -> None:
    """A view of a portal either shows or acts; then its guard says all there is to say about it."""
    for rule in of_a_portal(url_map):
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        assert "GET" not in methods or methods == {"GET"}, rule
