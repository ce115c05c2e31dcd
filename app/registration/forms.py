from __future__ import annotations

from collections.abc import Sequence

from flask_babel import gettext as _
from flask_wtf import FlaskForm
from wtforms import Field, PasswordField, StringField
from wtforms.validators import ValidationError

from app.i18n import lazy
from app.identity.passwords import password_fault
from app.text import SENTENCES, TextError, clean_person_name


class RegistrationForm(FlaskForm):
    """The invitee's name and password. The address is the invitation's, and no field."""

    name = StringField(lazy("Your name"))
    password = PasswordField(lazy("Password"))

    def __init__(self, email: str, names: Sequence[str]) -> None:
        """`names` (company, portal) and the address are what the password may not contain."""
        super().__init__()
        self._email = email
        self._names = names

    def validate_name(self, field: Field) -> None:
        try:
            field.data = clean_person_name(field.data or "")
        except TextError as error:
            sentences = [_(sentence, **error.params) for sentence in SENTENCES[error.code]]
            raise ValidationError(" ".join(sentences)) from error

    def validate_password(self, field: Field) -> None:
        # A name that was refused may be endless; only a clean one is looked for.
        own_name = [] if self.name.errors else [self.name.data or ""]
        fault = password_fault(field.data or "", names=[*own_name, *self._names], email=self._email)
        if fault:
            raise ValidationError(fault)


class PasswordResetRequestForm(FlaskForm):
    email = StringField(lazy("E-mail"))


class NewPasswordForm(FlaskForm):
    password = PasswordField(lazy("New password"))

    def __init__(self, email: str, names: Sequence[str]) -> None:
        super().__init__()
        self._email = email
        self._names = names

    def validate_password(self, field: Field) -> None:
        fault = password_fault(field.data or "", names=self._names, email=self._email)
        if fault:
            raise ValidationError(fault)
