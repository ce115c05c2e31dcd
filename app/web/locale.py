"""Which language a request is answered in: the one place where that is decided.

Invitees are spoken to in the language of the portal that invited them, from the moment they open its link; a browser
that followed none, in what it asks for. The pages of client admins are in English, whatever the browser says.
"""

from __future__ import annotations

from flask import has_request_context, request, session
from flask_babel import refresh

from app.models import Language
from app.web.cookies import LANGUAGE

_LANGUAGES = [language.value for language in Language]
# The blueprints with pages that invitees see.
_THEIR_ROOMS = {"identity", "portals", "registration"}


def language_of_request() -> str:
    """Flask-Babel's locale selector. Mails force the language of their portal instead."""
    if not has_request_context():
        return Language.ENGLISH
    # An address that leads nowhere may be a link from a mail that was cut off.
    if request.endpoint is not None and request.blueprint not in _THEIR_ROOMS:
        return Language.ENGLISH
    of_session = session.get(LANGUAGE)
    if of_session in _LANGUAGES:
        return str(of_session)
    return _asked_for()


def _asked_for() -> str:
    """The first of our languages that the browser names. (The library's own choice takes "en-US, de" for German.)"""
    for tag, quality in request.accept_languages:
        language = tag.partition("-")[0].lower()
        if quality and language in _LANGUAGES:
            return language
    return Language.ENGLISH


def speak(language: Language) -> None:
    """Speak a language: in this request from now on, and in this browser afterwards."""
    if session.get(LANGUAGE) != language:
        session[LANGUAGE] = language.value
    refresh()
