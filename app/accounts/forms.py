from __future__ import annotations

from collections.abc import Sequence

from flask_babel import gettext as _
from wtforms import Field, HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, ValidationError

from app.accounts.passwords import password_fault
from app.core.forms import TextForm
from app.core.i18n import lazy
from app.core.text import clean_email, clean_person_name
from app.core.text_errors import SENTENCES, TextError


class LoginForm(TextForm):
    email = StringField(lazy("Email"), [InputRequired(lazy("Enter your email address."))])
    password = PasswordField(lazy("Password"), [InputRequired(lazy("Enter your password."))])
    next = HiddenField()


class NameForm(TextForm):
    """A person's name."""

    name = StringField(lazy("Your name"))

    def validate_name(self, field: Field) -> None:
        try:
            field.data = clean_person_name(field.data or "")
        except TextError as error:
            sentences = [_(sentence, **error.params) for sentence in SENTENCES[error.code]]
            raise ValidationError(" ".join(sentences)) from error


class EmailForm(TextForm):
    """A new address for the account that one is signed in to."""

    email = StringField(lazy("New email address"), id="new-email")
    current_password = PasswordField(
        lazy("Current password"), [InputRequired(lazy("Enter your current password."))], id="password-for-email"
    )

    def __init__(self, present: str) -> None:
        """`present` is the account's address."""
        super().__init__()
        self._present = present

    def validate_email(self, field: Field) -> None:
        try:
            field.data = clean_email(field.data or "")
        except TextError as error:
            sentences = [_(sentence, **error.params) for sentence in SENTENCES[error.code]]
            raise ValidationError(" ".join(sentences)) from error
        if field.data == self._present:
            raise ValidationError(_("This is your email address already. Enter a different one."))


class PasswordForm(TextForm):
    """A new password for the account that one is signed in to."""

    current_password = PasswordField(lazy("Current password"), [InputRequired(lazy("Enter your current password."))])
    new_password = PasswordField(lazy("New password"))

    def __init__(self, email: str, names: Sequence[str]) -> None:
        """The password must contain neither `names` nor the local part of `email`."""
        super().__init__()
        self._email = email
        self._names = names

    def validate_new_password(self, field: Field) -> None:
        fault = password_fault(field.data or "", names=self._names, email=self._email)
        if fault:
            raise ValidationError(fault)
        if field.data == self.current_password.data:
            raise ValidationError(_("This is the current password. Choose another one."))
