"""A client admin at work over HTTP, quickly, and a book of everything that was asked for and answered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from threading import Lock
from time import monotonic
from urllib.parse import urlencode, urlsplit

from bs4 import BeautifulSoup
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from tests.crash.checker import Act, Kind, Outcome
from tests.support.app_driver import HARBOUR
from tests.support.browser import HTMX, ic, words

SECONDS = 30


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]


class Unavailable(OSError):
    """The database is away, as a person is told."""


class Ledger:
    """Who asked for what, and was told what; whoever was told nothing may have got it or not."""

    def __init__(self) -> None:
        self._acts: list[Act] = []
        self._lock = Lock()

    @property
    def acts(self) -> Sequence[Act]:
        with self._lock:
            return list(self._acts)

    def note(self, kind: Kind, emails: Iterable[str], begun: float, answer: Answer | None) -> None:
        status = answer.status if answer else None
        act = Act(kind, tuple(emails), begun, monotonic(), _outcome(status), status)
        with self._lock:
            self._acts.append(act)


def _outcome(status: int | None) -> Outcome:
    if status is None or status == 503:
        # A database that goes away while it commits leaves open whether it has.
        return "unknown"
    return "accepted" if status < 400 else "refused"


@dataclass(frozen=True)
class Line:
    """A line of the table as a person sees it."""

    client_id: str
    email: str
    status: str
    delivery: str
    notes: str


class Person:
    """Somebody with a browser: signs in, and presses what the pages have."""

    def __init__(
        self,
        url: str,
        ledger: Ledger | None = None,
        *,
        portal_id: str = HARBOUR,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`headers` go with each request, such as those that a proxy adds."""
        self.url = url
        self.ic = ic(portal_id)
        self._headers = dict(headers or {})
        self.ledger = ledger or Ledger()
        self._cookies: dict[str, str] = {}
        self._token = ""

    def sign_in(self, email: str, password: str) -> None:
        page = self.get("/login")
        form = {"csrf_token": _token_in(page), "email": email, "password": password}
        answer = self.post("/login", form)
        assert answer.status == 303, answer.text
        # The session is a new one, and so is its token.
        self._token = _token_in(self.get(f"{self.ic}/new"))

    def twin(self, url: str) -> Person:
        """The same person, at another web process."""
        other = Person(url, self.ledger, headers=self._headers)
        other.ic = self.ic
        other._cookies, other._token = dict(self._cookies), self._token
        return other

    # What is asked for. None stands for no answer.

    def add(self, email: str, company_name: str = "Nordwind Reisen") -> Answer | None:
        return self._act("add", [email], self.ic, {"company_name": company_name, "email": email})

    def resend(self, line: Line) -> Answer | None:
        return self._act("resend", [line.email], f"{self.ic}/{line.client_id}/resend", {})

    def remove(self, line: Line) -> Answer | None:
        return self._act("remove", [line.email], f"{self.ic}/{line.client_id}/remove", {})

    def bring_in(self, emails: Sequence[str]) -> Answer | None:
        """Import a file with these addresses."""
        data = "\r\n".join(["company_name,email", *(f"Imported Ltd,{email}" for email in emails)]).encode()
        file = FileStorage(BytesIO(data), "clients.csv", content_type="text/csv")
        boundary, body = encode_multipart({"csrf_token": self._token, "file": file})
        kind = f'multipart/form-data; boundary="{boundary}"'
        return self._noted("import", emails, f"{self.ic}/import", body, kind)

    def newest(self) -> list[Line]:
        """The first page of the table."""
        return self._lines(pages=1)

    def lines(self) -> list[Line]:
        """The whole table, page after page."""
        return self._lines()

    def line(self, email: str) -> Line:
        (found,) = [line for line in self.lines() if line.email == email]
        return found

    def _lines(self, pages: int = 1_000_000) -> list[Line]:
        found: list[Line] = []
        address: str | None = f"{self.ic}/table?size={100 if pages > 1 else 25}"
        while address is not None and pages:
            pages -= 1
            answer = self._ask("GET", address, {**HTMX})
            if answer.status == 503:
                raise Unavailable(answer.text)
            assert answer.status == 200, answer
            html = BeautifulSoup(answer.text, "html.parser")
            for tr in html.select("tr[data-client-id]"):
                email, notes = tr.select_one("[data-col=email]"), tr.select(".note")
                found.append(
                    Line(
                        str(tr["data-client-id"]),
                        words(email),
                        str(tr["data-status"]),
                        str(tr["data-delivery"]),
                        " ".join(words(note) for note in notes if "reason" in (note.get("class") or ())),
                    )
                )
            following = html.select_one("#next-page")
            address = str(following["href"]).replace("?", "/table?", 1) if following else None
        return found

    # As an invitee

    def look_at(self, path: str) -> None:
        """Open a page with a form, which is pressed later."""
        self._token = _token_in(self.get(path))

    def press(self, path: str, form: dict[str, str]) -> Answer:
        return self.post(path, {"csrf_token": self._token, **form})

    def register(self, path: str, email: str, name: str, password: str) -> Answer | None:
        form = {"csrf_token": self._token, "name": name, "password": password}
        body = urlencode(form).encode()
        return self._noted("register", [email], path, body, "application/x-www-form-urlencoded", htmx=False)

    # HTTP

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, {})

    def post(self, path: str, form: dict[str, str]) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, headers, urlencode(form).encode())

    def _act(self, kind: Kind, emails: Sequence[str], path: str, form: dict[str, str]) -> Answer | None:
        body = urlencode({"csrf_token": self._token, **form}).encode()
        return self._noted(kind, emails, path, body, "application/x-www-form-urlencoded")

    def _noted(
        self, kind: Kind, emails: Sequence[str], path: str, body: bytes, content_type: str, *, htmx: bool = True
    ) -> Answer | None:
        begun = monotonic()
        answer: Answer | None
        try:
            answer = self._ask("POST", path, {**(HTMX if htmx else {}), "Content-Type": content_type}, body)
        except (OSError, HTTPException):
            answer = None
        self.ledger.note(kind, emails, begun, answer)
        return answer

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        headers = {**self._headers, **headers}
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=SECONDS)
        try:
            connection.request(method, path, body=body, headers={**headers, **({"Cookie": cookies} if cookies else {})})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return Answer(response.status, text, dict(response.headers))


def _token_in(page: Answer) -> str:
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page.text)
    assert found, page
    return found[1]
