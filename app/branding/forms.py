from __future__ import annotations

from flask_babel import gettext as _
from wtforms import EmailField, Field, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import ValidationError

from app.branding.colours import parsed_colour
from app.branding.service import Design
from app.branding.wording import PLACEHOLDERS, filled, touching_placeholder, unknown_placeholder
from app.core.forms import TextForm
from app.core.i18n import lazy
from app.core.text import clean_company_name, clean_email, holds_link
from app.core.text_errors import TextError
from app.models import Branding, Language

SUBJECT_LENGTH = 150
GREETING_LENGTH = 800


class BrandingForm(TextForm):
    """How a portal looks and speaks. An empty field means: as the service does by default."""

    display_name = StringField(lazy("Name"))
    accent = StringField(lazy("Colour"))
    support_address = EmailField(lazy("Support address"))
    language = SelectField(
        lazy("Language"), choices=[SelectChoice(language.value, language.own_name) for language in Language]
    )
    subject = StringField(lazy("Subject of invitations"))
    greeting = TextAreaField(lazy("Greeting"))

    def __init__(self, present: Branding | None, *, typed: bool = True) -> None:
        """`present` fills the form if nothing was typed. `typed=False` ignores what was typed."""
        super().__init__(obj=present, **({} if typed else {"formdata": None}))

    def validate_display_name(self, field: Field) -> None:
        if not (field.data or "").strip():
            field.data = ""
            return
        try:
            field.data = clean_company_name(field.data)
        except TextError as error:
            raise ValidationError(_(error.message)) from error

    def validate_accent(self, field: Field) -> None:
        typed = (field.data or "").strip()
        colour = parsed_colour(typed)
        if typed and colour is None:
            raise ValidationError(_("Enter a colour like #0f5fa8: six digits from 0 to 9 and a to f."))
        field.data = colour or ""

    def validate_support_address(self, field: Field) -> None:
        if not (field.data or "").strip():
            field.data = ""
            return
        try:
            field.data = clean_email(field.data)
        except TextError as error:
            raise ValidationError(_(error.message)) from error

    def validate_subject(self, field: Field) -> None:
        field.data = " ".join((field.data or "").split())
        _check_words(field.data, SUBJECT_LENGTH)

    def validate_greeting(self, field: Field) -> None:
        lines = (" ".join(line.split()) for line in (field.data or "").splitlines())
        field.data = "\n".join(lines).strip()
        _check_words(field.data, GREETING_LENGTH)

    def design(self) -> Design:
        """The design that was typed. Call it after validation."""
        return Design(
            display_name=self.display_name.data or None,
            accent=self.accent.data or None,
            support_address=self.support_address.data or None,
            language=Language(self.language.data),
            subject=self.subject.data or None,
            greeting=self.greeting.data or None,
        )


def _check_words(text: str, longest: int) -> None:
    if len(text) > longest:
        raise ValidationError(_("%(count)s characters; the limit is %(most)s.", count=len(text), most=longest))
    if not all(character.isprintable() or character == "\n" for character in text):
        raise ValidationError(_("This text contains an invisible character. Retype it instead of pasting it."))
    stray = unknown_placeholder(text)
    if stray is not None:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValidationError(
            _("%(stray)s isn't a placeholder. Use %(known)s and remove other braces.", stray=stray, known=known)
        )
    touching = touching_placeholder(text)
    if touching is not None:
        raise ValidationError(_("Put a space before and after %(placeholder)s.", placeholder=touching))
    if holds_link(filled(text, dict.fromkeys(PLACEHOLDERS, "value"))):
        raise ValidationError(_("Leave out web and email addresses: the invitation may contain only its own link."))
