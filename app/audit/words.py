"""The words of the audit trail: kinds and their groups, who acts, fields and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from flask_babel import gettext as _

from app.audit.changes import TextChange
from app.core.i18n import arrow, lazy, number
from app.models import ActorKind, AuditKind, JoinNotice, Language, Role, TlsMode


class Group(StrEnum):
    """Kinds that somebody filters by together."""

    SETTINGS = "settings"
    PEOPLE = "people"
    CLIENTS = "clients"
    EXPORTS = "exports"
    SIGN_INS = "sign_ins"
    PORTAL = "portal"


GROUPS = {
    Group.SETTINGS: lazy("Settings"),
    Group.PEOPLE: lazy("People and roles"),
    Group.CLIENTS: lazy("Clients and imports"),
    Group.EXPORTS: lazy("Exports"),
    Group.SIGN_INS: lazy("Sign-ins"),
    Group.PORTAL: lazy("Portal"),
}

_KINDS = {
    AuditKind.SETTINGS_CHANGED: (Group.SETTINGS, lazy("Invitation settings changed")),
    AuditKind.BRANDING_CHANGED: (Group.SETTINGS, lazy("Branding draft begun")),
    AuditKind.BRANDING_PUBLISHED: (Group.SETTINGS, lazy("Branding published")),
    AuditKind.BRANDING_DISCARDED: (Group.SETTINGS, lazy("Branding draft discarded")),
    AuditKind.MAIL_SERVER_CHANGED: (Group.SETTINGS, lazy("Mail server changed")),
    AuditKind.MAIL_TESTED: (Group.SETTINGS, lazy("Test email sent")),
    AuditKind.WEBHOOK_ADDED: (Group.SETTINGS, lazy("Webhook endpoint added")),
    AuditKind.WEBHOOK_CHANGED: (Group.SETTINGS, lazy("Webhook endpoint changed")),
    AuditKind.WEBHOOK_REMOVED: (Group.SETTINGS, lazy("Webhook endpoint deleted")),
    AuditKind.WEBHOOK_SECRET_ROTATED: (Group.SETTINGS, lazy("Webhook secret rotated")),
    AuditKind.WEBHOOK_TESTED: (Group.SETTINGS, lazy("Test event sent")),
    AuditKind.WEBHOOKS_RETRIED: (Group.SETTINGS, lazy("Webhook events resent")),
    AuditKind.EMBEDDING_CHANGED: (Group.SETTINGS, lazy("Embedding changed")),
    AuditKind.SECOND_FACTOR_REQUIRED: (Group.SETTINGS, lazy("Second factor required")),
    AuditKind.ROLE_GIVEN: (Group.PEOPLE, lazy("Role given")),
    AuditKind.ROLE_CHANGED: (Group.PEOPLE, lazy("Role changed")),
    AuditKind.ROLE_TAKEN: (Group.PEOPLE, lazy("Role taken away")),
    AuditKind.COLLEAGUE_INVITED: (Group.PEOPLE, lazy("Colleague invited")),
    AuditKind.COLLEAGUE_RESENT: (Group.PEOPLE, lazy("Colleague's invitation resent")),
    AuditKind.COLLEAGUE_WITHDRAWN: (Group.PEOPLE, lazy("Colleague's invitation withdrawn")),
    AuditKind.ACCESS_ENDED: (Group.PEOPLE, lazy("Access ended")),
    AuditKind.ACCESS_GIVEN_BACK: (Group.PEOPLE, lazy("Access given back")),
    AuditKind.NAME_CHANGED: (Group.PEOPLE, lazy("Name changed")),
    AuditKind.EMAIL_CHANGED: (Group.PEOPLE, lazy("Email address changed")),
    AuditKind.ACCOUNT_DELETED: (Group.PEOPLE, lazy("Account deleted")),
    AuditKind.USER_DISABLED: (Group.PEOPLE, lazy("Account disabled")),
    AuditKind.USER_ENABLED: (Group.PEOPLE, lazy("Account enabled")),
    AuditKind.USER_ERASED: (Group.PEOPLE, lazy("User erased")),
    AuditKind.CLIENT_ADDED: (Group.CLIENTS, lazy("Client added")),
    AuditKind.CLIENT_CORRECTED: (Group.CLIENTS, lazy("Client edited, invitation resent")),
    AuditKind.CLIENT_RESENT: (Group.CLIENTS, lazy("Invitation resent")),
    AuditKind.CLIENT_REMOVED: (Group.CLIENTS, lazy("Client removed")),
    AuditKind.CLIENT_ERASED: (Group.CLIENTS, lazy("Client erased")),
    AuditKind.CLIENTS_RESENT: (Group.CLIENTS, lazy("Invitations resent")),
    AuditKind.CLIENTS_REMOVED: (Group.CLIENTS, lazy("Clients removed")),
    AuditKind.IMPORT_MADE: (Group.CLIENTS, lazy("Clients imported")),
    AuditKind.IMPORT_TAKEN_BACK: (Group.CLIENTS, lazy("Import taken back")),
    AuditKind.MAILS_RETRIED: (Group.CLIENTS, lazy("Emails retried")),
    AuditKind.EXPORTED: (Group.EXPORTS, lazy("Exported")),
    AuditKind.SIGNED_IN: (Group.SIGN_INS, lazy("Signed in")),
    AuditKind.SIGN_IN_FAILED: (Group.SIGN_INS, lazy("Sign-in failed")),
    AuditKind.SIGNED_OUT: (Group.SIGN_INS, lazy("Signed out")),
    AuditKind.SESSIONS_ENDED: (Group.SIGN_INS, lazy("Sessions ended")),
    AuditKind.PASSWORD_SET: (Group.SIGN_INS, lazy("Password reset")),
    AuditKind.PASSWORD_CHANGED: (Group.SIGN_INS, lazy("Password changed")),
    AuditKind.SECOND_FACTOR_SET: (Group.SIGN_INS, lazy("Second factor set up")),
    AuditKind.SECOND_FACTOR_REMOVED: (Group.SIGN_INS, lazy("Second factor removed")),
    AuditKind.SECOND_FACTOR_RESET: (Group.SIGN_INS, lazy("Second factor reset")),
    AuditKind.RECOVERY_CODES_MADE: (Group.SIGN_INS, lazy("Recovery codes created")),
    AuditKind.PORTAL_CREATED: (Group.PORTAL, lazy("Portal created")),
    AuditKind.PORTAL_RENAMED: (Group.PORTAL, lazy("Portal renamed")),
    AuditKind.PORTAL_DELETED: (Group.PORTAL, lazy("Portal deleted")),
}

ACTORS = {
    ActorKind.SHELL: lazy("Host application"),
    ActorKind.COMMAND: lazy("Operator"),
    ActorKind.JOB: lazy("Scheduled job"),
    ActorKind.NOBODY: lazy("Not signed in"),
}

FIELDS = {
    "role": lazy("Role"),
    "require_second_factor": lazy("Second factor required"),
    "name": lazy("Name"),
    "company_name": lazy("Company Name"),
    "email": lazy("Email"),
    "clients": lazy("Clients"),
    "filtered": lazy("Filtered"),
    "sends_reminders": lazy("Reminders"),
    "gives_fresh_links": lazy("New links on request"),
    "preview_above": lazy("Preview above rows"),
    "join_notice": lazy("Own notices of joined clients"),
    "reply_to": lazy("Replies go to"),
    "own_server": lazy("Own mail server"),
    "host": lazy("Server"),
    "port": lazy("Port"),
    "tls": lazy("Encryption"),
    "username": lazy("User name"),
    "encrypted_password": lazy("Password"),
    "sender": lazy("Sender"),
    "per_second": lazy("Emails per second"),
    "dkim_selector": lazy("DKIM selector"),
    "uses_bounce_address": lazy("Bounce address"),
    "url": lazy("URL"),
    "description": lazy("Description"),
    "events": lazy("Events"),
    "mails": lazy("Emails"),
    "is_on": lazy("Switched on"),
    "on_client_invited": lazy("Client invited"),
    "on_client_delivery_failed": lazy("Delivery failed"),
    "on_client_joined": lazy("Client joined"),
    "on_client_access_ended": lazy("Access ended"),
    "on_client_access_given_back": lazy("Access given back"),
    "on_client_removed": lazy("Client removed"),
    "may_show": lazy("May show the portal"),
    "may_sign_in": lazy("May sign people in"),
    "keys": lazy("Keys"),
    "display_name": lazy("Display name"),
    "accent": lazy("Colour"),
    "support_address": lazy("Address for questions"),
    "language": lazy("Language"),
    "subject": lazy("Subject"),
    "greeting": lazy("Greeting"),
    "logo": lazy("Logo"),
}
_VALUES: dict[str, str] = {
    TextChange.SET: lazy("set"),
    TextChange.CHANGED: lazy("changed"),
    TextChange.REMOVED: lazy("removed"),
    Role.CLIENT_ADMIN: lazy("Client admin"),
    Role.STAFF: lazy("Staff"),
    Role.CLIENT: lazy("Client"),
    TlsMode.STARTTLS: "STARTTLS",
    TlsMode.SSL: "TLS",
    TlsMode.NONE: lazy("none"),
    JoinNotice.AT_ONCE: lazy("immediately"),
    JoinNotice.DAILY: lazy("daily"),
    **{language: language.value for language in Language},
}


def kind_label(kind: AuditKind) -> str:
    return str(_KINDS[kind][1])


def kinds_of(group: Group) -> Sequence[AuditKind]:
    return [kind for kind, (its_group, _label) in _KINDS.items() if its_group is group]


def change_lines(change: Mapping[str, object]) -> list[str]:
    """A change as it is read, such as "Role: Staff → Client admin"."""
    return [_("%(field)s: %(value)s", field=_field(name), value=_value(value)) for name, value in change.items()]


def _field(name: str) -> str:
    return str(FIELDS.get(name, name))


def _value(value: object) -> str:
    if isinstance(value, list):
        return f" {arrow()} ".join(map(_value, value))
    if value is None:
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int):
        return number(value)
    return str(_VALUES.get(str(value), value))
