"""A person at a browser without JavaScript: forms with their hidden fields, links, cookies; htmx on request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

HTMX = {"HX-Request": "true"}


@dataclass
class Row:
    """A row of the Imported Clients table, as a person reads it."""

    id: str
    company_name: str
    email: str
    status: str
    delivery: str
    link: str | None
    health: str
    buttons: list[str]


class Browser:
    """One browser with its own cookies."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()
        self._csrf: str | None = None

    def get(
        self, path: str, *, htmx: bool = False, headers: dict[str, str] | None = None, **kwargs: Any
    ) -> TestResponse:
        return self.client.get(path_of(path), headers=(HTMX if htmx else {}) | (headers or {}), **kwargs)

    def send(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None = None,
        *,
        htmx: bool = False,
        csrf: bool = True,
        headers: dict[str, str] | None = None,
    ) -> TestResponse:
        """Send a form with the session's CSRF token."""
        fields = dict(data or {})
        if csrf:
            fields["csrf_token"] = self.csrf_token()
        response = self.client.open(
            path_of(path), method=method, data=fields, headers=(HTMX if htmx else {}) | (headers or {})
        )
        if path in {"/login", "/logout"}:
            self._csrf = None
        return response

    def post(self, path: str, data: dict[str, Any] | None = None, **kwargs: Any) -> TestResponse:
        return self.send("POST", path, data, **kwargs)

    def twin(self, app: Flask | None = None) -> Browser:
        """Another browser with the same session: for doing things at once, or on another server process."""
        token = self.csrf_token()
        other = Browser(app or self.client.application)
        cookie = self.client.get_cookie("session")
        assert cookie is not None
        other.client.set_cookie("session", cookie.value)
        other._csrf = token
        return other

    def forget_csrf_token(self) -> None:
        """Look for it again before the next form: the session may be another."""
        self._csrf = None

    def csrf_token(self) -> str:
        if self._csrf is None:
            page = self.client.get("/password-reset").text
            found = re.search(r'name="csrf_token" value="([^"]+)"', page)
            assert found
            self._csrf = found[1]
        return self._csrf

    def sign_in(self, email: str, password: str) -> TestResponse:
        return self.post("/login", {"email": email, "password": password})

    def rows(self, portal_id: str, query: str = "") -> list[Row]:
        response = self.get(f"{ic(portal_id)}/table{query}", htmx=True)
        assert response.status_code == 200
        return [_row(tr) for tr in parse(response).select("#imported-clients-table tr[data-client-id]")]

    def row(self, portal_id: str, email: str) -> Row:
        (found,) = [row for row in self.rows(portal_id) if row.email == email]
        return found


def ic(portal_id: str) -> str:
    """The path of a portal's tab Imported Clients."""
    return f"/portals/{portal_id}/settings/accounts/imported-clients"


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def parse(response: TestResponse) -> BeautifulSoup:
    """A page as it is shown: what templates hold is no part of it."""
    page = BeautifulSoup(response.text, "html.parser")
    for template in page.find_all("template"):
        template.clear()
    return page


def words(element: Any) -> str:
    """The text of an element with single spaces."""
    return " ".join(element.get_text(" ").split())


def field_errors(response: TestResponse) -> dict[str, str]:
    """What a page of settings says beside each field."""
    found = {note["id"].removesuffix("-error"): words(note) for note in parse(response).select(".field-error")}
    return {name: text for name, text in found.items() if text}


def _row(tr: Any) -> Row:
    cell = {td["data-col"]: td for td in tr.select("td[data-col]")}
    notes = [words(note) for note in cell["status"].select(".note")]
    return Row(
        id=tr["data-client-id"],
        company_name=words(cell["company_name"]),
        email=words(cell["email"]),
        status=tr["data-status"],
        delivery=tr["data-delivery"],
        link=tr.get("data-link"),
        health=" ".join(notes),
        buttons=[button.get("aria-label") for button in cell["action"].select("button, a")],
    )


def csv_file_of(emails: Sequence[str]) -> dict[str, Any]:
    """A form with a client list of these addresses."""
    data = "\r\n".join(["company_name,email", *(f"Imported Ltd,{email}" for email in emails)]).encode()
    return {"file": (BytesIO(data), "clients.csv")}
