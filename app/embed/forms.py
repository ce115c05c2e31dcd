from __future__ import annotations

from collections.abc import Sequence

from flask_babel import gettext as _
from wtforms import Field, TextAreaField
from wtforms.validators import ValidationError

from app.core.errors import DomainError
from app.core.forms import TextForm
from app.core.i18n import lazy
from app.embed.origins import MOST_ORIGINS, clean_origin


class ShellOriginsForm(TextForm):
    """The origins that may show a portal in a frame, one per line."""

    origins = TextAreaField(lazy("Allowed sites"))

    def __init__(self, present: Sequence[str]) -> None:
        super().__init__(data={"origins": "\n".join(present)})

    def validate_origins(self, field: Field) -> None:
        try:
            origins = self.cleaned()
        except DomainError as refusal:
            raise ValidationError(refusal.message) from refusal
        if len(origins) > MOST_ORIGINS:
            raise ValidationError(_("A portal can have at most %(most)s allowed sites.", most=MOST_ORIGINS))

    def cleaned(self) -> list[str]:
        """The typed origins in their clean form, without duplicates. Raises `DomainError` for the first wrong one."""
        lines = (self.origins.data or "").splitlines()
        return list(dict.fromkeys(clean_origin(line) for line in lines if line.strip()))
