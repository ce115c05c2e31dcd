"""Names of the form fields, for places that show a field without its form."""

from __future__ import annotations

from flask_babel import lazy_gettext as lazy

FIELD_LABELS = {
    "accent": lazy("Colour"),
    "company_name": lazy("Company Name"),
    "description": lazy("Description (optional)"),
    "display_name": lazy("Name"),
    "email": lazy("Email"),
    "greeting": lazy("Greeting"),
    "host": lazy("Server"),
    "name": lazy("Your name"),
    "origins": lazy("Allowed sites"),
    "per_second": lazy("Emails per second, at most"),
    "port": lazy("Port"),
    "reply_to": lazy("Replies go to"),
    "sender_address": lazy("Sender's address"),
    "sender_name": lazy("Sender's name"),
    "subject": lazy("Subject of invitations"),
    "support_address": lazy("Support address"),
    "url": lazy("URL"),
    "username": lazy("User name"),
}
