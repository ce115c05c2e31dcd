from __future__ import annotations

from collections.abc import Sequence

from wtforms import Field, PasswordField, StringField
from wtforms.validators import InputRequired, ValidationError

from app.accounts.forms import NameForm
from app.accounts.passwords import password_fault
from app.core.forms import TextForm
from app.core.i18n import lazy


class _PersonForm(NameForm):
    """A name, and a password that is checked against this name and against an address that is not a field."""

    def __init__(self, email: str, names: Sequence[str]) -> None:
        """The password must contain neither `names` (of company and portal) nor the local part of `email`."""
        super().__init__()
        self._email = email
        self._names = names

    def _check_password(self, field: Field) -> None:
        # A refused name may be very long, so only a clean one is searched for in the password.
        own_name = [] if self.name.errors else [self.name.data or ""]
        fault = password_fault(field.data or "", names=[*own_name, *self._names], email=self._email)
        if fault:
            raise ValidationError(fault)


class RegistrationForm(_PersonForm):
    """The invitee's name and password. The address is that of the invitation, so it is not a field."""

    password = PasswordField(lazy("Password"))

    def validate_password(self, field: Field) -> None:
        self._check_password(field)


class ChosenPasswordForm(TextForm):
    """The password chosen at registration, for a browser other than the one that registered."""

    password = PasswordField(lazy("The password you chose"), [InputRequired(lazy("Enter your password."))])


class ChooseAnewForm(_PersonForm):
    """A name and password that replace the registered ones. The name starts empty, because it may be a stranger's."""

    new_password = PasswordField(lazy("New password"))

    def validate_new_password(self, field: Field) -> None:
        self._check_password(field)


class PasswordResetRequestForm(TextForm):
    email = StringField(lazy("Email"))


class NewOwnerForm(_PersonForm):
    """A new password and name for an unproven account, by a reset link.

    The name starts empty as in `ChooseAnewForm`.
    """

    password = PasswordField(lazy("New password"))

    def validate_password(self, field: Field) -> None:
        self._check_password(field)


class NewPasswordForm(TextForm):
    password = PasswordField(lazy("New password"))

    def __init__(self, email: str, names: Sequence[str]) -> None:
        super().__init__()
        self._email = email
        self._names = names

    def validate_password(self, field: Field) -> None:
        fault = password_fault(field.data or "", names=self._names, email=self._email)
        if fault:
            raise ValidationError(fault)
