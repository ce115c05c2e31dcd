"""A host shell: it has a key, an address, and signs what it says about people."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

from flask import Flask
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from werkzeug.test import TestResponse

from app.sso.issuers import add_issuer, grant_portal
from app.sso.tokens import LOGOUT_EVENT
from tests.support.browser import Browser

ISSUER = "https://shell.test"
AUDIENCE = "http://clients.harbour.test"
Key = ECKey | RSAKey


@cache
def ec_key(name: str = "first") -> ECKey:
    """A key on P-256; by each name another."""
    return ECKey.generate_key("P-256")


@cache
def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048)


def public_pem(key: Key) -> str:
    return key.as_pem(private=False).decode()


def jwks(**keys: Key) -> dict[str, Any]:
    """A JWK set of public keys, by their ids."""
    return {"keys": [{**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in keys.items()]}


def signed(claims: dict[str, Any], key: Key | None = None, **header: Any) -> str:
    """Sign claims, with the first EC key unless said otherwise. A header of None is left out."""
    key = key or ec_key()
    algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
    given = {"alg": algorithm, **header}
    protected = {name: value for name, value in given.items() if value is not None}
    # As JSON that can hold anything: half a character, too.
    return jws.serialize_compact(protected, json.dumps(claims), key, algorithms=[algorithm])


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None = None) -> str:
    """A token that is put together by hand: without a signature, or with an HMAC by this secret."""
    parts = [_packed(json.dumps(part).encode()) for part in (header, claims)]
    signature = hmac.new(secret, ".".join(parts).encode(), hashlib.sha256).digest() if secret is not None else b""
    return ".".join([*parts, _packed(signature)])


def says(**changes: Any) -> dict[str, Any]:
    """The claims of a hand-over: Hanna is a client admin of Harbour Tours. None leaves one out."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 60,
        "jti": uuid4().hex,
        "portal": "harbour",
        "sub": "hanna-7",
        "email": "hanna@shell.test",
        "name": "Hanna Ek",
        "role": "client_admin",
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def says_out(**changes: Any) -> dict[str, Any]:
    """The claims of the back-channel: Hanna has signed out."""
    nothing = dict.fromkeys(("portal", "email", "name", "role"))
    return says(**nothing | {"events": {LOGOUT_EVENT: {}}} | changes)


def register(app: Flask, *portals: str, issuer: str = ISSUER, key: Key | None = None, **keys: Any) -> None:
    """As the operator does."""
    with app.app_context():
        add_issuer(issuer, **(keys or {"pem": public_pem(key or ec_key())}))
        for portal in portals:
            grant_portal(issuer, portal)


def hand_over(browser: Browser, token: str | None = None, /, **fields: str) -> TestResponse:
    """Post a token, Hanna's unless said otherwise, as the shell's page does."""
    browser.forget_csrf_token()
    return browser.post("/handover", {"token": signed(says()) if token is None else token, **fields}, csrf=False)


def log_out(browser: Browser, **changes: Any) -> TestResponse:
    """Post a token of the back-channel, as the shell's server does."""
    return browser.post("/handover/logout", {"logout_token": signed(says_out(**changes))}, csrf=False)


class Published:
    """A server of loopback that publishes a JWK set, and counts how often it is asked for."""

    def __init__(self) -> None:
        self.document: Any = {"keys": []}
        self.status = 200
        self.fetched = 0
        published = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                published.fetched += 1
                body = json.dumps(published.document).encode()
                self.send_response(published.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Nothing: the test says what went wrong."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/.well-known/jwks.json"

    @contextmanager
    def running(self) -> Iterator[Published]:
        thread = Thread(target=self._server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
