"""Decides in which language a request is answered. No other place decides it.

- Whoever has signed in and has chosen a language reads all pages in it, also after signing out in the same browser.
- From the moment invitees open their link, they get the language of the portal that invited them, on the pages that
  invitees see.
- All others get the language that their browser asks for.
"""

from __future__ import annotations

from flask import has_request_context, request, session
from flask_babel import refresh

from app.accounts.current import CHOSEN_LANGUAGE
from app.models import Language
from app.web.cookies import LANGUAGE

_LANGUAGES = [language.value for language in Language]
# The blueprints with pages that invitees see.
_THEIR_ROOMS = {"account", "identity", "portals", "registration", "unsubscribe"}


def language_of_request() -> str:
    """The locale selector for Flask-Babel. Mails do not use it; they force the language of their reader."""
    if not has_request_context():
        return Language.ENGLISH
    chosen = session.get(CHOSEN_LANGUAGE)
    if chosen in _LANGUAGES:
        return str(chosen)
    # An unknown address may be a link from a mail that was cut off, so it gets the invitee's language too.
    of_session = session.get(LANGUAGE)
    if (request.endpoint is None or request.blueprint in _THEIR_ROOMS) and of_session in _LANGUAGES:
        return str(of_session)
    return asked_for()


def asked_for() -> Language:
    """The first of our languages that the browser names. (Werkzeug's own choice takes "en-US, de" to mean German.)"""
    for tag, quality in request.accept_languages:
        language = tag.partition("-")[0].lower()
        if quality and language in _LANGUAGES:
            return Language(language)
    return Language.ENGLISH


def speak(language: Language) -> None:
    """Use this language from now on: in the rest of this request, and in later ones of this browser.

    Whoever is signed in and has chosen a language goes on reading that.
    """
    if session.get(LANGUAGE) != language:
        session[LANGUAGE] = language.value
    refresh()
