"""A page of somebody else's that shows us: with styles, ids and an htmx of its own, and none too kind to what it shows.

It is a WSGI application. Below `/clients` it passes requests on to ours, as a reverse proxy with a path prefix does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from threading import Event
from typing import Any
from urllib.parse import parse_qs

from flask import Flask

from config import ROOT
from tests.support import shell
from tests.support.proxy import BAD_GATEWAY

PREFIX = "/clients"
PAGE = "/shell"

HTMX = {
    "2.0.11": ROOT / "examples/b_portal_shell/static/vendor/htmx-2.0.11.min.js",
    "4.0.1": ROOT / "app/static/vendor/htmx-4.0.1.min.js",
}

TOO_OLD = b"window.htmx = { version: '1.9.12' };"

# Written as nobody should, so that whatever can leak does.
_STYLES = """
html { font-size: 10px; letter-spacing: 0.2em; word-spacing: 1em; }
body { margin: 0; padding: 20px; color: red; font: italic 700 20px/3 cursive; text-align: right; white-space: pre;
  text-transform: uppercase; cursor: wait; }
*, *::before, *::after { box-sizing: content-box !important; }
a, button, input, select, label, table, th, td, h2, p, ul, li, dialog, form, fieldset, svg, strong {
  margin: 7px !important; padding: 21px !important; border: 5px dotted magenta !important; background: black !important;
  color: lime !important; font: italic 30px/2 serif !important; text-decoration: line-through !important; }
.button, .badge, .icon, .notice, .toolbar, .chip, .surface, .ic { display: none !important; }
dialog, [popover] { position: static !important; width: 90px !important; }
iframe { width: 60px !important; height: 30px !important; border: 9px solid magenta !important; }
#host, #host * { all: revert; }
"""


class HostShell:
    """`ours` is where our application is from the page's point of view: a path of its own, or another origin."""

    def __init__(self, app: Flask, ours: str = PREFIX, htmx: str | None = None, **claims: Any) -> None:
        self._app = app
        self._ours = ours
        self._htmx = htmx
        self.claims = claims
        self.has_tokens = True
        self.tokens_given = 0
        self.attributes = ""
        self.is_away = False
        """Whether it answers 502 in our place."""
        self._held = "nothing"
        self._released = Event()

    def hold(self, path: str) -> None:
        """Keep back our answers to requests for addresses that end so, as they are at that moment."""
        self._held = path
        self._released.clear()

    def release(self) -> None:
        self._held = "nothing"
        self._released.set()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(f"{PREFIX}/"):
            return self._passed_on(environ, start_response)
        status, kind, body = self._answer(environ, path)
        headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", self._policy()),
            ("Cache-Control", "no-store"),
            # The strictest: a window that it opens is in a group of its own.
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ]
        start_response(status, headers)
        return [body]

    def _passed_on(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        forwarded = {
            "PATH_INFO": environ["PATH_INFO"].removeprefix(PREFIX),
            "HTTP_X_FORWARDED_PREFIX": PREFIX,
            "HTTP_X_FORWARDED_FOR": environ["REMOTE_ADDR"],
            "HTTP_X_FORWARDED_HOST": environ["HTTP_HOST"],
            "HTTP_X_FORWARDED_PROTO": "http",
        }
        if self.is_away:
            start_response(
                "502 Bad Gateway", [("Content-Type", "text/html"), ("Content-Length", str(len(BAD_GATEWAY)))]
            )
            return [BAD_GATEWAY]
        answer = self._app(environ | forwarded, start_response)
        if environ["PATH_INFO"].endswith(self._held):
            self._released.wait(10)
        return answer

    def _answer(self, environ: dict[str, Any], path: str) -> tuple[str, str, bytes]:
        if path == f"{PAGE}/token" and environ["REQUEST_METHOD"] == "POST":
            if not self.has_tokens:
                return "403 Forbidden", "text/plain", b""
            self.tokens_given += 1
            return "200 OK", "text/plain", shell.signed(shell.says(**self.claims)).encode()
        if path == f"{PAGE}/htmx.js" and self._htmx:
            script = HTMX[self._htmx].read_bytes() if self._htmx in HTMX else TOO_OLD
            return "200 OK", "text/javascript", script
        if path == f"{PAGE}/style.css":
            return "200 OK", "text/css", _STYLES.encode()
        if path == f"{PAGE}/own":
            return "422 Unprocessable Content", "text/html", b"<em>swapped</em>"
        if path == PAGE:
            return "200 OK", "text/html; charset=utf-8", self._page(parse_qs(environ["QUERY_STRING"])).encode()
        return "404 Not Found", "text/plain", b""

    def _page(self, asked: dict[str, list[str]]) -> str:
        own_htmx = f'<script src="{PAGE}/htmx.js" defer></script>' if self._htmx else ""
        # Of the host's own. htmx 4 would swap an answer of 422, were it not told otherwise.
        config = (
            """{"includeIndicatorStyles": false, "includeIndicatorCSS": false, "noSwap": [204, 304, "4xx", "5xx"]}"""
        )
        view = escape(asked.get("view", [""])[0])
        loader = f'<script src="{self._ours}/embed/loader.js" defer></script>' if "without" not in asked else ""
        return f"""<!doctype html>
<html lang="x-klingon" data-theme="dark">
<head>
  <title>The shell</title>
  <link rel="icon" href="data:,">
  <meta name="htmx-config" content='{config}'>
  <link rel="stylesheet" href="{PAGE}/style.css">
  {loader}
  {own_htmx}
</head>
<body>
  <div id="host">
    <h1>The shell</h1>
    <a id="own" href="{PAGE}/own" hx-get="{PAGE}/own" hx-target="#panel" hx-swap="innerHTML">Own</a>
    <p id="dialog">dialog</p><p id="panel">panel</p><p id="filter">filter</p><p id="table">table</p>
    <p id="page-alert">page-alert</p><p id="dialog-content">dialog-content</p><p id="clients-view">clients-view</p>
    <button class="button primary" type="button">A button</button>
  </div>
  <imported-clients portal="harbour" handover="{PAGE}/token" view="{view}" {self.attributes}></imported-clients>
</body>
</html>"""

    def _policy(self) -> str:
        ours = "'self'" if self._ours.startswith("/") else f"'self' {self._ours}"
        return (
            f"default-src 'none'; script-src {ours}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            f"frame-src {ours}; form-action {ours}; base-uri 'none'"
        )
