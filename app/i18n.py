"""Translation of texts that are made when the code is loaded, before anybody's language is known."""

from __future__ import annotations

from typing import cast

from flask_babel import lazy_gettext


def lazy(text: str) -> str:
    """A text that is translated whenever it is shown. (`pybabel extract -k lazy` finds it.)

    Typed as the string it becomes, which is what the forms' type stubs ask for.
    """
    return cast(str, lazy_gettext(text))
