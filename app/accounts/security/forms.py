from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from wtforms import Field, HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, ValidationError

from app.core.forms import TextForm
from app.core.i18n import lazy


class CodeForm(TextForm):
    """A code of an authenticator app, or a recovery code."""

    code = StringField(lazy("Code"), [InputRequired(lazy("Enter a code."))])


class SignInCodeForm(CodeForm):
    """The code that a sign-in waits for."""

    next = HiddenField()


class AppCodeForm(TextForm):
    """The first code of an authenticator app that is being set up."""

    code = StringField(lazy("Code from your app"), [InputRequired(lazy("Enter the code that your app shows."))])


class BeginForm(TextForm):
    """The password of whoever begins to set up an authenticator app."""

    password = PasswordField(lazy("Current password"), [InputRequired(lazy("Enter your current password."))])


class ProofForm(TextForm):
    """Shows that somebody owns the account that they are signed in to: a password, or a code."""

    password = PasswordField(lazy("Current password"))
    code = StringField(lazy("Or a code"))

    def __init__(self, *args: Any, has_app: bool, **kwargs: Any) -> None:
        """`has_app`: whether the account has an authenticator app, so that a code may be one of its."""
        super().__init__(*args, **kwargs)
        self.has_app = has_app

    def validate_password(self, field: Field) -> None:
        if not field.data and not self.code.data:
            raise ValidationError(_("Enter your current password, or a code."))

    def blame(self, sentence: str | None = None) -> None:
        """Say at the field that counts why it was refused; by default that it is not right, unless that is said."""
        if self.code.data:
            self.code.errors = [sentence or (wrong_code() if self.has_app else wrong_recovery_code())]
        elif sentence or not self.errors:
            self.password.errors = [sentence or wrong_password()]


def wrong_code() -> str:
    """The same sentence for every wrong code, so that nobody learns whether it was almost right."""
    return _(
        "This code isn't right. Enter the newest code that your app shows; each code works only once. If new codes are"
        " refused too, check that your phone sets its clock by itself."
    )


def wrong_recovery_code() -> str:
    return _("This recovery code isn't right. Check each letter; each code works only once.")


def wrong_password() -> str:
    return _("This is not your current password. Check it and try again.")
