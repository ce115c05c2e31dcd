"""Decides in which language a request is answered. No other place decides it.

From the moment invitees open their link, they get the language of the portal that invited them. A browser that has
followed no link gets the language that it asks for. The pages of client admins are always in English.
"""

from __future__ import annotations

from flask import has_request_context, request, session
from flask_babel import refresh

from app.models import Language
from app.web.cookies import LANGUAGE

_LANGUAGES = [language.value for language in Language]
# The blueprints with pages that invitees see.
_THEIR_ROOMS = {"account", "identity", "portals", "registration", "unsubscribe"}


def language_of_request() -> str:
    """The locale selector for Flask-Babel. Mails do not use it; they force the language of their portal."""
    if not has_request_context():
        return Language.ENGLISH
    # An unknown address may be a link from a mail that was cut off, so it gets the invitee's language too.
    if request.endpoint is not None and request.blueprint not in _THEIR_ROOMS:
        return Language.ENGLISH
    of_session = session.get(LANGUAGE)
    if of_session in _LANGUAGES:
        return str(of_session)
    return _asked_for()


def _asked_for() -> str:
    """The first of our languages that the browser names. (Werkzeug's own choice takes "en-US, de" to mean German.)"""
    for tag, quality in request.accept_languages:
        language = tag.partition("-")[0].lower()
        if quality and language in _LANGUAGES:
            return language
    return Language.ENGLISH


def speak(language: Language) -> None:
    """Use this language from now on: in the rest of this request, and in later ones of this browser."""
    if session.get(LANGUAGE) != language:
        session[LANGUAGE] = language.value
    refresh()
