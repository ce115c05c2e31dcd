"""Texts in the reader's language. Which language that is, is asked in `app.web.locale`."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import cast

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask_babel import Babel, Domain, get_locale, lazy_gettext
from werkzeug.utils import cached_property

from config import ROOT

CATALOGS = ROOT / "app" / "translations"


def lazy(text: str) -> str:
    """A text that is made when the code is loaded, and translated whenever it is shown.

    Typed as the string it becomes, which is what the forms' type stubs ask for.
    """
    return cast(str, lazy_gettext(text))


def catalog_path(language: str) -> Path:
    return CATALOGS / language / "LC_MESSAGES" / "messages.po"


@cache
def translations_of(language: str) -> NullTranslations:
    """What the texts are in a language; in one without a catalog they stay as the code has them, in English.

    The .po files are read as they are, each when it is first needed (5 to 10 ms, once a process), so that no clone and
    no deployment has to compile anything, and no compiled file is older than its source.
    """
    path = catalog_path(language)
    if not path.exists():
        return NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as source:
        write_mo(compiled, read_po(source, locale=language, abort_invalid=True))
    compiled.seek(0)
    return Translations(compiled)


def language_now() -> str:
    """The code of the language that texts are given in at this moment."""
    locale = get_locale()
    # There is none outside of an application's context.
    return str(locale.language) if locale else "en"


def isolated(text: str) -> str:
    """A name or an address where there are no elements to set it apart: in plain text that is read from right to left.

    Without the marks around it (FSI, PDI) the digits of "24info@…" would move to the other end of the address. In texts
    from left to right names hardly ever need it, and marks could be copied along.
    """
    locale = get_locale()
    return f"\u2068{text}\u2069" if locale and locale.text_direction == "rtl" else text


class _Catalogs(Domain):
    def get_translations(self) -> NullTranslations:
        return translations_of(language_now())


class CatalogBabel(Babel):
    """Flask-Babel, with our catalogs in place of compiled ones."""

    @cached_property
    def domain_instance(self) -> Domain:
        return _Catalogs()
