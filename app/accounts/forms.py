from __future__ import annotations

from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired

from app.core.forms import TextForm
from app.core.i18n import lazy


class LoginForm(TextForm):
    email = StringField(lazy("Email"), [InputRequired(lazy("Enter your email address."))])
    password = PasswordField(lazy("Password"), [InputRequired(lazy("Enter your password."))])
    next = HiddenField()
