"""Pages that keep what goes wrong in them, for browsers whose console no test can read from the beginning.

The server puts one script before all others of each page. So nothing else of the page changes, and the
Content-Security-Policy, which knows our own files only, stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PATH = "/what-goes-wrong.js"

_LISTENER = b"""
(() => {
  // WebKit ends what a page still fetches when one leaves it, and says so: that is no fault of the page.
  let leaving = false;
  addEventListener("beforeunload", () => { leaving = true; });
  const keep = (words) => {
    if (leaving && words.includes("Load failed")) return;
    sessionStorage.complaints = JSON.stringify([...JSON.parse(sessionStorage.complaints ?? "[]"), words]);
  };
  addEventListener("error", ({ message, target }) => keep(message ?? `not loaded: ${target.src ?? target.href}`), true);
  addEventListener("unhandledrejection", ({ reason }) => keep(`unhandled: ${reason}`));
  document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
    keep(`CSP: ${violatedDirective} forbids ${blockedURI}`);
  });
  for (const level of ["error", "warn"]) {
    const say = console[level];
    console[level] = (...words) => {
      keep(words.map(String).join(" "));
      say.apply(console, words);
    };
  }
})();
"""
COMPLAINTS = "return JSON.parse(sessionStorage.complaints ?? '[]')"


class ScriptInPages:
    """The application, as WSGI, with one more script of ours in each page."""

    def __init__(self, app: Any, script: bytes = _LISTENER) -> None:
        self._app = app
        self._script = script

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            start_response("200 OK", [("Content-Type", "text/javascript"), *_length(self._script)])
            return [self._script]
        answer: list[Any] = []
        environ.pop("HTTP_ACCEPT_ENCODING", None)  # so that a page is text
        body = self._app(environ, lambda *said: answer.extend(said[:2]))
        parts = body
        if dict(answer[1]).get("Content-Type", "").startswith("text/html"):
            page = b"".join(body)
            if hasattr(body, "close"):
                body.close()
            page = page.replace(b"<head>", b'<head><script src="%s"></script>' % PATH.encode(), 1)
            answer[1] = [*(one for one in answer[1] if one[0] != "Content-Length"), *_length(page)]
            parts = [page]
        start_response(*answer)
        return parts


def _length(body: bytes) -> list[tuple[str, str]]:
    return [("Content-Length", str(len(body)))]
