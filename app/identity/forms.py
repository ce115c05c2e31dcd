from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired


class LoginForm(FlaskForm):
    email = StringField(_l("E-mail"), [InputRequired(_l("Enter your e-mail address."))])
    password = PasswordField(_l("Password"), [InputRequired(_l("Enter your password."))])
    next = HiddenField()
