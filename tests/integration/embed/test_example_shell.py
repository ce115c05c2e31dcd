"""The example shell over HTTP: its sign-in, its tokens, and its reverse proxy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.models import Role
from examples.b_portal_shell.shell import PREFIX, Settings, create_shell
from examples.b_portal_shell.signing import kept_key
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import ic, parse, words
from tests.support.live import LiveServer, serving
from tests.support.shell import public_pem, register

ORIGIN = "http://localhost"
OURS = {"Origin": ORIGIN}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def shell(app: Flask, reconfigured: Callable[..., Flask], tmp_path: Path) -> Iterator[FlaskClient]:
    """A browser at the shell, behind which Imported Clients runs."""
    server = LiveServer()
    key = kept_key(tmp_path / "key.pem")
    clients = reconfigured(PUBLIC_BASE_URL=server.url, TRUSTED_PROXIES="1")
    register(app, HARBOUR, issuer=ORIGIN, pem=public_pem(key))
    made = create_shell(Settings(ORIGIN, server.url, server.port, "a secret of the shell", key))
    made.testing = True
    with serving(server, clients):
        yield made.test_client()


def sign_in(shell: FlaskClient, person: str = "p-1") -> None:
    assert shell.post("/sign-in", data={"person": person}, headers=OURS).status_code == 303


def hand_over(shell: FlaskClient) -> TestResponse:
    token = shell.post(f"/handover-token?portal={HARBOUR}", headers=OURS)
    assert token.mimetype == "text/plain"
    return shell.post(f"{PREFIX}/handover", data={"token": token.text})


def test_accounts_behind_the_reverse_proxy(shell: FlaskClient, app_driver: AppDriver) -> None:
    sign_in(shell)
    page = parse(shell.get(f"/portals/{HARBOUR}/accounts"))
    (script,) = [tag["src"] for tag in page.select("script[src]") if "embed" in tag["src"]]
    assert shell.get(script).mimetype == "text/javascript"
    (element,) = page.select("imported-clients")
    assert (element["portal"], element["handover"]) == (HARBOUR, f"/handover-token?portal={HARBOUR}")

    handed = hand_over(shell)
    assert (handed.status_code, handed.location) == (303, f"{PREFIX}{ic(HARBOUR)}")
    (cookie,) = handed.headers.getlist("Set-Cookie")
    assert re.match(rf"session=[^;]+; HttpOnly; Path={PREFIX}; SameSite=Lax$", cookie)
    tab = shell.get(handed.location)
    (token,) = [tag["content"] for tag in parse(tab).select("meta[name=csrf-token]")]
    added = {"company_name": "Nordwind", "email": "info@nordwind.test", "csrf_token": token}
    assert shell.post(handed.location, data=added).location == handed.location
    # Bodies as they are: as many bytes as a file may have, and more.
    for size, status in ((3 * 1024 * 1024, 422), (3 * 1024 * 1024 + 1, 413)):
        upload = {"csrf_token": token, "file": (BytesIO(b"x" * size), "clients.csv")}
        assert shell.post(f"{handed.location}/import", data=upload).status_code == status

    # Demoted, and then signed out, without another hand-over.
    assert shell.post(f"/portals/{HARBOUR}/change-role", headers=OURS).status_code == 303
    assert app_driver.role("mira@harbour.example") is Role.STAFF
    assert hand_over(shell).status_code == 303
    assert shell.get(f"{handed.location}/new").status_code == 403
    assert shell.get(handed.location).status_code == 200
    shell.post("/sign-out", headers=OURS)
    assert shell.get(handed.location).location.startswith(f"{PREFIX}/login")


def test_tokens_are_for_who_is_signed_in_and_from_our_own_pages(shell: FlaskClient) -> None:
    address = f"/handover-token?portal={HARBOUR}"
    assert shell.post(address, headers=OURS).status_code == 403
    sign_in(shell, "p-2")
    assert shell.post(address, headers=OURS).status_code == 200
    assert shell.post("/handover-token?portal=alpine", headers=OURS).status_code == 403
    assert shell.post(address, headers={"Origin": "https://evil.test"}).status_code == 403
    assert shell.post(address).status_code == 403
    assert "no htmx" in words(parse(shell.get(f"/portals/{HARBOUR}/accounts-own-origin?htmx=4")))
    (key,) = shell.get("/.well-known/jwks.json").get_json()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use"}


@contextmanager
def echoing() -> Iterator[tuple[int, list[Any]]]:
    """A server that answers with two cookies and a header for its neighbour, and keeps what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(418)
            for name, value in (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Connection", "X-Hop"), ("X-Hop", "1")):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"short and stout")

        def log_message(self, *args: Any) -> None:
            """Nothing: the test says what went wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_proxy_says_who_asks_and_keeps_what_is_between_neighbours(database_url: str, tmp_path: Path) -> None:
    with echoing() as (port, asked):
        settings = Settings(ORIGIN, f"http://127.0.0.1:{port}", port, "a secret", kept_key(tmp_path / "key.pem"))
        shell = create_shell(settings).test_client(use_cookies=False)
        headers = {
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Prefix": "/evil",
            "Forwarded": "for=203.0.113.9",
            "Connection": "X-Mine",
            "X-Mine": "1",
            "Accept-Encoding": "br",
            "Cookie": "session=theirs; shell_session=ours; theme=dark",
        }
        answer = shell.post(f"{PREFIX}/a b/%C3%A4?x=1&x=%20", data=b"body", headers=headers)
    ((path, received, body),) = asked
    assert (path, body) == ("/a%20b/%C3%A4?x=1&x=%20", b"body")
    forwarded = {name: value for name, value in received.items() if name.startswith(("X-", "Forwarded"))}
    assert forwarded == {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "localhost",
        "X-Forwarded-Prefix": PREFIX,
    }
    assert (received["Cookie"], received["Accept-Encoding"]) == ("session=theirs; theme=dark", "br")
    assert (answer.status_code, answer.data) == (418, b"short and stout")
    assert answer.headers.getlist("Set-Cookie") == ["a=1", "b=2"]
    assert "X-Hop" not in answer.headers
    # Nobody is there any more.
    assert shell.get(f"{PREFIX}/").status_code == 502
