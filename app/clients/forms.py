from __future__ import annotations

from flask_babel import gettext as _
from wtforms import EmailField, Field, StringField, TextAreaField
from wtforms.validators import ValidationError

from app.core.forms import TextForm
from app.core.i18n import lazy
from app.core.text import clean_company_name, clean_email, clean_message
from app.core.text_errors import TextError


class CodedMessage(str):
    """A field's error with its code, which stands in the markup as `data-error-code`."""

    code: str

    def __new__(cls, error: TextError) -> CodedMessage:
        message = super().__new__(cls, _(error.message))
        message.code = error.code
        return message


class ClientForm(TextForm):
    """The form to correct one client. After validation each field's data is in the form in which we store it."""

    company_name = StringField(lazy("Company Name"))
    email = EmailField(lazy("Email Address"))

    def validate_company_name(self, field: Field) -> None:
        try:
            field.data = clean_company_name(field.data or "")
        except TextError as error:
            raise ValidationError(CodedMessage(error)) from error

    def validate_email(self, field: Field) -> None:
        try:
            field.data = clean_email(field.data or "")
        except TextError as error:
            raise ValidationError(CodedMessage(error)) from error


class MessageForm(TextForm):
    """The message of invitations. After validation it is in the form in which we store it, or None."""

    message = TextAreaField(lazy("Message (optional)"))

    def validate_message(self, field: Field) -> None:
        try:
            field.data = clean_message(field.data or "")
        except TextError as error:
            raise ValidationError(CodedMessage(error)) from error


class AddClientForm(ClientForm, MessageForm):
    """The form to add one client."""
