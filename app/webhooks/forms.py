from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask_babel import gettext as _
from wtforms import Field, SelectMultipleField, StringField, URLField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from app.core.forms import TextForm
from app.core.i18n import lazy
from app.core.stored_texts import retold
from app.core.text import BLANKS
from app.models import WebhookEndpoint, WebhookEvent
from app.net.dialer import is_permitted
from app.net.http import BadUrl, target_of
from app.webhooks.endpoints import EVENTS
from app.webhooks.sender import Networks, rule_for

DESCRIPTION_LENGTH = 200

EVENT_NAMES = {
    WebhookEvent.CLIENT_INVITED: lazy("Client invited, or invited again"),
    WebhookEvent.CLIENT_DELIVERY_FAILED: lazy("Invitation not delivered"),
    WebhookEvent.CLIENT_JOINED: lazy("Client joined"),
    WebhookEvent.CLIENT_ACCESS_ENDED: lazy("Access ended"),
    WebhookEvent.CLIENT_ACCESS_GIVEN_BACK: lazy("Access given back"),
    WebhookEvent.CLIENT_REMOVED: lazy("Client removed"),
    WebhookEvent.TEST: lazy("Test event"),
}


class EndpointForm(TextForm):
    """The address of an endpoint, and the events that it subscribes to."""

    url = URLField(lazy("URL"))
    description = StringField(lazy("Description (optional)"))
    events = SelectMultipleField(
        lazy("Events"),
        choices=[SelectChoice(event.value, EVENT_NAMES[event]) for event in EVENTS],
        option_widget=CheckboxInput(),
        widget=ListWidget(prefix_label=False),
    )

    def __init__(self, present: WebhookEndpoint | None, allowed: Networks, *, is_new: bool = False) -> None:
        """`present` fills the form when nothing was typed. `allowed`: the private networks that it may name.

        With `is_new` the form is for another endpoint, and what was typed for the last one is ignored.
        """
        typed: dict[str, Any] = {"formdata": None} if is_new else {}
        super().__init__(
            **typed,
            data={
                "url": present.url if present else "",
                "description": present.description if present else "",
                "events": present.events if present else [event.value for event in EVENTS],
            },
        )
        self._allowed = allowed

    def validate_url(self, field: Field) -> None:
        field.data = (field.data or "").strip(BLANKS)
        try:
            host = target_of(field.data).host
            permits = rule_for(field.data, self._allowed)
        except BadUrl as error:
            raise ValidationError(retold(error.reason)) from error
        # One sentence for all errors, because it must not reveal what our own network looks like.
        if not is_permitted(host, permits):
            raise ValidationError(
                _(
                    "This URL wasn't found, or isn't allowed here: it must start with https:// and be reachable from"
                    " the internet. Check it, or ask whoever runs this service to allow its network."
                )
            )

    def validate_description(self, field: Field) -> None:
        field.data = (field.data or "").strip(BLANKS)
        if len(field.data) > DESCRIPTION_LENGTH or not field.data.isprintable():
            raise ValidationError(
                _("A description can have at most %(most)s characters, on one line.", most=DESCRIPTION_LENGTH)
            )

    def validate_events(self, field: Field) -> None:
        if not field.data:
            raise ValidationError(_("Select at least one event."))

    def chosen(self) -> Sequence[WebhookEvent]:
        """The events that were chosen, after validation."""
        names: Any = self.events.data
        return [WebhookEvent(name) for name in names]
