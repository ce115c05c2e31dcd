from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired

from app.core.i18n import lazy


class LoginForm(FlaskForm):
    email = StringField(lazy("Email"), [InputRequired(lazy("Enter your email address."))])
    password = PasswordField(lazy("Password"), [InputRequired(lazy("Enter your password."))])
    next = HiddenField()
