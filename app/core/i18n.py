"""Texts in the reader's language. `app.web.locale` decides which language that is."""

from __future__ import annotations

from datetime import date, datetime
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import cast

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask_babel import Babel, Domain, format_date, format_datetime, format_decimal, get_locale, lazy_gettext
from flask_babel import gettext as _
from werkzeug.utils import cached_property

from config import ROOT

CATALOGS = ROOT / "app" / "translations"


def lazy(text: str) -> str:
    """A text that is created when the code is loaded and translated each time it is shown.

    Its type is the string that it becomes, because the type stubs of the forms require a string.
    """
    return cast(str, lazy_gettext(text))


def catalog_path(language: str) -> Path:
    return CATALOGS / language / "LC_MESSAGES" / "messages.po"


@cache
def translations_of(language: str) -> NullTranslations:
    """The translations into a language. A language without a catalog keeps the English texts of the code.

    The .po files are read directly, each when it is first needed (5 to 10 ms, once per process). So nobody has to
    compile anything in a clone or a deployment, and no compiled file can be older than its source.
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
    """The code of the language in which texts are given at this moment."""
    locale = get_locale()
    # Outside an application context there is no locale.
    return str(locale.language) if locale else "en"


def number(value: int) -> str:
    """A number as the reader's language writes it, such as 1,234."""
    return str(format_decimal(value))


# Patterns of Unicode's locale data (UTS 35). Other languages put other words and commas into them.


def moment(at: datetime) -> str:
    """A moment as pages show it, such as "05 Nov 2026, 09:30 UTC". In UTC: the script shows it in the viewer's zone."""
    return _moment(at, language_now())


@lru_cache(maxsize=2000)
def _moment(at: datetime, _language: str) -> str:
    """Cached, because an open page shows the same times again and again."""
    return str(format_datetime(at, _("dd MMM yyyy, HH:mm 'UTC'"), rebase=False))


def day(at: date) -> str:
    """A day as pages show it, such as "05 Nov 2026"."""
    return str(format_date(at, _("dd MMM yyyy"), rebase=False))


def day_of_year(at: date) -> str:
    """A day where there is little room, and the year is known, such as "05 Nov"."""
    return str(format_date(at, _("dd MMM"), rebase=False))


def arrow() -> str:
    """From one value to the next, in the direction of reading. Unicode turns no arrow round by itself."""
    locale = get_locale()
    return "←" if locale and locale.text_direction == "rtl" else "→"


def isolated(text: str) -> str:
    """Mark a name or an address so that it keeps its order inside plain text that is read from right to left.

    HTML has elements for this; plain text needs the marks FSI and PDI. Without them the digits of "24info@…" would move
    to the other end of the address. In left-to-right languages the text comes back unchanged: names hardly ever need
    the marks there, and a reader could copy them by accident.
    """
    locale = get_locale()
    return f"\u2068{text}\u2069" if locale and locale.text_direction == "rtl" else text


class _Catalogs(Domain):
    def get_translations(self) -> NullTranslations:
        return translations_of(language_now())


class CatalogBabel(Babel):
    """Flask-Babel, with the .po catalogs in place of compiled ones."""

    @cached_property
    def domain_instance(self) -> Domain:
        return _Catalogs()
