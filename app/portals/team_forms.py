from __future__ import annotations

from flask_babel import gettext as _
from wtforms import Field, RadioField, StringField, ValidationError
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs

from app.core.forms import TextForm
from app.core.i18n import lazy
from app.core.text import clean_email
from app.core.text_errors import TextError
from app.models import TEAM_ROLES, Role

_ROLES = [
    SelectChoice(Role.STAFF.value, lazy("Staff: sees the clients, changes nothing")),
    SelectChoice(Role.CLIENT_ADMIN.value, lazy("Client admin: invites clients, changes the settings")),
]


class ColleagueForm(TextForm):
    """Whom to invite to the team, and as what."""

    email = StringField(lazy("Email"))
    role = RadioField(lazy("Role"), choices=_ROLES, default=Role.STAFF.value, validate_choice=False)

    def validate_email(self, field: Field) -> None:
        try:
            field.data = clean_email(field.data or "")
        except TextError as error:
            raise ValidationError(_(error.message)) from error

    def validate_role(self, field: Field) -> None:
        check_role(field.data)


class RoleForm(TextForm):
    role = StringField(lazy("Role"))

    def validate_role(self, field: Field) -> None:
        check_role(field.data)


def check_role(typed: str | None) -> None:
    """Raises `ValidationError` if it is no role of the team."""
    if typed not in TEAM_ROLES:
        raise ValidationError(_("Choose a role: client admin or staff."))
