"""Every page in every language: nothing of it is English but names and data, and it says which language it is."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import cache

import pytest
from babel.messages.pofile import read_po
from bs4 import BeautifulSoup, NavigableString, Tag
from flask import Flask

from app.core.i18n import catalog_path
from app.models import Language
from tests.conftest import HARBOUR
from tests.integration.portals.things import ADMINS, THINGS, a_client, a_mail
from tests.support.browser import Browser, ic
from tests.support.factories import PASSWORD

ADA = ADMINS[HARBOUR]
TRANSLATED = [language for language in Language if language is not Language.ENGLISH]
SPOKEN = ("title", "aria-label", "aria-description", "placeholder", "alt", "data-label", "data-confirm", "data-words")
"""Attributes that people read or hear."""
DATA = re.compile(
    "Harbour Tours invites .* to its booking portal"  # the subject of invitations, in the portal's language
    "|Harbour Tours|Ada Berg|Carla Vega|Sam Lund|Joined Client|A Member|Nordwind Reisen|Imported Ltd"
    "|Two Ltd,two@client.test,three|Two Ltd|Row Ltd"
    "|imported-clients"
)
TWO_WORDS = re.compile(r"[A-Za-z][a-z’']+(?:[ ,;:–—-]+[A-Za-z’']+)+")
"""Two Latin words in a row: no Arabic sentence has them, but for names."""
BAD_FILE = (
    "company_name,email\r\nRow Ltd,nobody\r\nTwo Ltd,two@client.test,three\r\n,gone@client.test\r\n1234,a@b.test\r\n"
)


@pytest.fixture
def ada(app: Flask) -> Browser:
    browser = Browser(app)
    assert browser.sign_in(ADA, PASSWORD).status_code == 303
    return browser


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_page_has_an_english_sentence(language: Language, app: Flask, ada: Browser) -> None:
    assert ada.post("/account/language", {"language": language.value}).status_code == 303
    english = english_texts(language)
    found: dict[str, str] = {}
    for name, html in pages(app, ada, with_fragments=language is Language.ARABIC):
        page = BeautifulSoup(html, "html.parser")
        root = page.select_one("html, .surface")
        if root is not None:
            assert (root["lang"], root["dir"]) == (language, "rtl" if language is Language.ARABIC else "ltr"), name
        for text in texts_of(page):
            said = DATA.sub("", text)
            if said in english or (language is Language.ARABIC and TWO_WORDS.search(said)):
                found.setdefault(text, name)
    assert found == {}


def pages(app: Flask, browser: Browser, *, with_fragments: bool) -> Iterator[tuple[str, str]]:
    """Whatever a client admin can open or be refused, each by a name.

    `with_fragments`: also by htmx what is a page, too. Both are made of the same templates, so one language, which
    shows every other text that is not translated, tries both.
    """
    with app.app_context():
        ids = {kind: make(HARBOUR) for kind, make in THINGS.items()}
        ids |= {"client_id": a_client(HARBOUR), "portal_id": HARBOUR}
        ids["mail_id"] = a_mail(HARBOUR, ids["client_id"])
    for rule in app.url_map.iter_rules():
        # Previews are in the language of those who are invited.
        if rule.arguments - ids.keys() or "GET" not in (rule.methods or set()) or "/preview/" in rule.rule:
            continue
        _host, path = rule.build({name: ids[name] for name in rule.arguments}, append_unknown=False) or ("", "")
        is_page = False
        for htmx in (False, True):
            if is_page and not with_fragments:
                continue
            answer = browser.get(path, htmx=htmx)
            is_page = answer.mimetype == "text/html" and answer.status_code < 300
            if is_page:
                yield f"{path}{' (htmx)' if htmx else ''}", answer.text
    forms = {
        f"{ic(HARBOUR)}/new": {},
        f"{ic(HARBOUR)}": {"company_name": "", "email": "no address"},
        f"{ic(HARBOUR)}/import": {"file": (io.BytesIO(BAD_FILE.encode()), "clients.csv")},
        f"/portals/{HARBOUR}/settings/team": {"email": "no address", "role": "staff"},
        f"/portals/{HARBOUR}/settings/webhooks": {"url": "nothing"},
        f"/portals/{HARBOUR}/settings/email": {"server": "own", "host": "no host", "port": "none"},
        f"/portals/{HARBOUR}/settings/branding": {"accent": "blue", "support_address": "nobody"},
        "/account": {"name": ""},
        "/account/password": {"current_password": "", "new_password": "short"},
    }
    for path, fields in forms.items():
        answer = browser.post(path, fields)
        assert answer.status_code >= 400, path
        yield f"POST {path}", answer.text


def texts_of(page: BeautifulSoup) -> Iterator[str]:
    """Each text that people read or hear, in one line."""
    for node in page.descendants:
        if isinstance(node, NavigableString):
            if node.parent and node.parent.name in {"script", "style", "code", "pre"}:
                continue
            said = [str(node)]
        else:
            assert isinstance(node, Tag)
            said = [str(node[name]) for name in SPOKEN if node.get(name)]
            if node.name == "iframe" and node.get("srcdoc"):
                yield from texts_of(BeautifulSoup(str(node["srcdoc"]), "html.parser"))
        yield from (line for text in said if (line := " ".join(text.split())))


@cache
def english_texts(language: Language) -> set[str]:
    """The English texts of more than one word that this language says in other words."""
    with catalog_path(language).open("rb") as file:
        catalog = read_po(file, locale=language.value)
    return {
        message.id
        for message in catalog
        if isinstance(message.id, str) and " " in message.id and message.string and message.string != message.id
    }
