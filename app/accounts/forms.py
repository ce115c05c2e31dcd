from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask_babel import gettext as _
from wtforms import Field, HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, ValidationError

from app.accounts.passwords import password_fault
from app.accounts.security.guards import StepUpInForm
from app.core.forms import TextForm
from app.core.i18n import lazy
from app.core.text import clean_person_name
from app.core.text_errors import SENTENCES, TextError


class LoginForm(TextForm):
    email = StringField(lazy("Email"), [InputRequired(lazy("Enter your email address."))])
    password = PasswordField(lazy("Password"), [InputRequired(lazy("Enter your password."))])
    next = HiddenField()


class NameForm(TextForm):
    """A person's name."""

    name = StringField(lazy("Your name"))

    def validate_name(self, field: Field) -> None:
        _clean_name(field)


class CurrentPasswordForm(StepUpInForm):
    """What proves that whoever asks owns the account."""

    current_password = PasswordField(lazy("Current password"), [InputRequired(lazy("Enter your current password."))])


class PasswordForm(CurrentPasswordForm):
    """A new password for the account that one is signed in to."""

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


class PasskeyNameForm(TextForm):
    """What the owner of a passkey calls it."""

    passkey_name = StringField(lazy("Name of the passkey"))

    def validate_passkey_name(self, field: Field) -> None:
        _clean_name(field)


class NewPasskeyForm(PasskeyNameForm):
    """Another passkey for the account that one is signed in to."""

    passkey_password = PasswordField(lazy("Your password"), [InputRequired(lazy("Enter your current password."))])

    def __init__(self, *, has_password: bool = True, **more: Any) -> None:
        """`has_password`: whether the password is asked for. It was, once the browser has made the passkey."""
        super().__init__(**more)
        if not has_password:
            self.passkey_password.validators = []


def _clean_name(field: Field) -> None:
    try:
        field.data = clean_person_name(field.data or "")
    except TextError as error:
        sentences = [_(sentence, **error.params) for sentence in SENTENCES[error.code]]
        raise ValidationError(" ".join(sentences)) from error
