"""A person at a browser without JavaScript, over plain HTTP: links, forms with their hidden fields, cookies."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

from bs4 import BeautifulSoup, Tag

from tests.support.browser import words

SECONDS = 30


@dataclass(frozen=True)
class Page:
    """What came back, after redirects."""

    status: int
    url: str
    headers: Message
    html: BeautifulSoup

    @property
    def text(self) -> str:
        return words(self.html)

    @property
    def heading(self) -> str:
        (only,) = self.html.select("h1")
        return words(only)

    @property
    def typed(self) -> dict[str, str]:
        """What the fields of the page that can be seen hold."""
        fields = self.html.select("main input[name]:not([type=hidden])")
        return {str(field["name"]): str(field.get("value", "")) for field in fields}

    @property
    def with_focus(self) -> str:
        """The id of what has the focus when the page is shown."""
        (only,) = self.html.select("main [autofocus]")
        return str(only["id"])

    @property
    def csrf_token(self) -> str:
        return str(self.html.select("input[name=csrf_token]")[0]["value"])

    def row(self, email: str) -> Tag:
        """The row of the Imported Clients table with this address."""
        cells = self.html.select("#imported-clients-table [data-col=email]")
        (row,) = [cell.parent for cell in cells if words(cell).startswith(email)]
        assert row is not None
        return row


class HttpBrowser:
    """Shows one page at a time, as a browser does; what is pressed and followed stands on that page."""

    def __init__(self, url: str) -> None:
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()))
        self.url = url
        self.page: Page

    def open(self, address: str, *, method: str = "GET", form: dict[str, str] | None = None) -> Page:
        """Go to an address, a path here or a whole link."""
        data = urlencode(form).encode() if form is not None else None
        request = Request(urljoin(self.url, address), data, method="POST" if data is not None else method)
        try:
            response: Any = self._opener.open(request, timeout=SECONDS)
        except HTTPError as refusal:
            response = refusal
        with response:
            html = BeautifulSoup(response.read(), "html.parser")
            self.page = Page(response.status, response.url, response.headers, html)
        self.url = self.page.url
        return self.page

    def follow(self, name: str, /, *, within: Tag | None = None) -> Page:
        """Follow the link of this name."""
        return self.open(str(_named(within or self.page.html, "a[href]", name)["href"]))

    def press(self, name: str, /, *, within: Tag | None = None, **typed: str) -> Page:
        """Fill in the form around the button of this name, and press it."""
        form = _named(within or self.page.html, "form button", name).find_parent("form")
        assert form is not None
        fields = {str(field["name"]): str(field.get("value", "")) for field in form.select("input[name]")}
        assert typed.keys() <= fields.keys(), f"the form has {list(fields)}"
        assert form.get("method") == "post"
        return self.open(str(form.get("action", "")), form=fields | typed)


def _named(part: Tag, selector: str, name: str) -> Tag:
    """The one element with an accessible name, by its label or its text."""
    (only,) = [tag for tag in part.select(selector) if (tag.get("aria-label") or words(tag)) == name]
    return only
