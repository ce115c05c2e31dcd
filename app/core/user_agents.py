"""Which browser on which system a User-Agent header names: enough for people to recognise their own.

Browsers call themselves by each other's names, so the first mark that is found counts. Versions are left out: they say
nothing to people, and change by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

_READ = 500
"""Characters. Whatever stands after them is not looked at."""
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Device:
    """A browser and its system, by the names that people know. None: the header does not say, or we don't know it."""

    browser: str | None = None
    system: str | None = None

    @property
    def words(self) -> str:
        """For people, in the present language, such as "Firefox on Windows"."""
        browser = self.browser or _("Unknown browser")
        return _("%(browser)s on %(system)s", browser=browser, system=self.system) if self.system else browser


def read_device(user_agent: str) -> Device:
    """The device that a User-Agent header names, whatever the header holds."""
    read = user_agent[:_READ]
    return Device(_first(_BROWSERS, read), _first(_SYSTEMS, read))


def _first(marks: Sequence[tuple[str, str]], text: str) -> str | None:
    return next((name for mark, name in marks if mark in text), None)
