from __future__ import annotations

from collections.abc import Sequence

from flask_babel import gettext as _
from flask_wtf import FlaskForm
from wtforms import Field, PasswordField, StringField
from wtforms.validators import InputRequired, ValidationError

from app.accounts.passwords import password_fault
from app.core.i18n import lazy
from app.core.text import SENTENCES, TextError, clean_person_name


class _PersonForm(FlaskForm):
    """A name, and a password that goes with it and with an address that is no field."""

    name = StringField(lazy("Your name"))

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

    def _check_password(self, field: Field) -> None:
        # A name that was refused may be endless; only a clean one is looked for.
        own_name = [] if self.name.errors else [self.name.data or ""]
        fault = password_fault(field.data or "", names=[*own_name, *self._names], email=self._email)
        if fault:
            raise ValidationError(fault)


class RegistrationForm(_PersonForm):
    """The invitee's name and password. The address is the invitation's, and no field."""

    password = PasswordField(lazy("Password"))

    def validate_password(self, field: Field) -> None:
        self._check_password(field)


class ChosenPasswordForm(FlaskForm):
    """The password that was chosen at registration, in another browser than the one that registered."""

    password = PasswordField(lazy("The password you chose"), [InputRequired(lazy("Enter your password."))])


class ChooseAnewForm(_PersonForm):
    """Name and password in place of those that were registered. The name begins empty: it may be a stranger's."""

    new_password = PasswordField(lazy("New password"))

    def validate_new_password(self, field: Field) -> None:
        self._check_password(field)


class PasswordResetRequestForm(FlaskForm):
    email = StringField(lazy("E-mail"))


class NewOwnerForm(_PersonForm):
    """A new password by mail for an account that is unproven, with a name as in `ChooseAnewForm`."""

    password = PasswordField(lazy("New password"))

    def validate_password(self, field: Field) -> None:
        self._check_password(field)


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
