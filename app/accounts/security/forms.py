from __future__ import annotations

from wtforms import HiddenField, StringField
from wtforms.validators import InputRequired

from app.core.forms import TextForm
from app.core.i18n import lazy


class CodeForm(TextForm):
    """A code of an authenticator app, or a recovery code."""

    code = StringField(lazy("Code"), [InputRequired(lazy("Enter a code."))])


class SignInCodeForm(CodeForm):
    """The code that a sign-in waits for."""

    next = HiddenField()
