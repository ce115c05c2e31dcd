"""The shell: its navigation, its sign-in, and the pages in which Imported Clients is embedded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, abort, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from joserfc.jwk import ECKey

from examples.b_portal_shell.people import PORTALS, Person, demo_people
from examples.b_portal_shell.proxy import pass_on
from examples.b_portal_shell.signing import Signer

PREFIX = "/imported-clients"
"""The path at which Imported Clients is mounted on our own origin."""
COOKIE = "shell_session"
# The vendored htmx by major version. A page loads none of them, or one.
HTMX = {"2": "vendor/htmx-2.0.11.min.js", "4": "vendor/htmx-4.0.1.min.js"}
_ROLES = {"client_admin": "staff", "staff": "client_admin"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """`clients_port` is the port of Imported Clients on this machine; `clients_url` is its own origin."""

    origin: str
    clients_url: str
    clients_port: int
    secret_key: str
    key: ECKey


def create_shell(settings: Settings) -> Flask:
    """Make the shell's application."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=16 * 1024 * 1024,
    )
    signer = Signer(settings.key, settings.origin, settings.clients_url)
    people = demo_people()

    def the_person() -> Person | None:
        return people.get(session.get("person", ""))

    def in_portal(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
        """Admit only people who are signed in and have a role in the portal."""

        @wraps(view)
        def guarded(portal_id: str) -> ResponseReturnValue:
            person = the_person()
            if person is None:
                return redirect(url_for("home", next=request.full_path))
            if portal_id not in person.roles:
                abort(404)
            return view(person, portal_id)

        return guarded

    def tell(person: Person, **more: str) -> None:
        """Post a logout token over the back-channel, from server to server, so it works whatever the browser does."""
        connection = HTTPConnection("127.0.0.1", settings.clients_port, timeout=5)
        try:
            form = urlencode({"logout_token": signer.logout(person, **more)})
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/handover/logout", form, headers)
            if (status := connection.getresponse().status) != 200:
                log.warning("the back-channel answers with %s", status)
        except (OSError, HTTPException) as error:
            log.warning("the back-channel does not answer: %s", error)
        finally:
            connection.close()

    @app.context_processor
    def around_every_page() -> dict[str, Any]:
        chosen = HTMX.get(request.args.get("htmx", ""))
        return {"person": the_person(), "portals": PORTALS, "htmx": chosen, "htmx_arg": request.args.get("htmx")}

    @app.after_request
    def restrict(response: Response) -> Response:
        """Set as strict a policy as a page that embeds us can have: nothing inline, and nothing from other origins."""
        if not request.path.startswith(f"{PREFIX}/"):
            theirs = settings.clients_url
            response.headers["Content-Security-Policy"] = (
                f"default-src 'none'; script-src 'self' {theirs}; style-src 'self' {theirs}; img-src 'self'; "
                f"connect-src 'self'; frame-src {theirs}; form-action 'self' {theirs}; base-uri 'none'; "
                "frame-ancestors 'none'"
            )
            response.headers["Referrer-Policy"] = "same-origin"
        return response

    @app.before_request
    def refuse_other_sites() -> ResponseReturnValue | None:
        """Accept forms only from our own pages. This replaces CSRF tokens, which an example can do without."""
        is_ours = request.path.startswith(f"{PREFIX}/")  # there Imported Clients checks its own tokens
        if request.method == "POST" and not is_ours and request.headers.get("Origin") != settings.origin:
            return "Forms of other sites are not taken.", 403
        return None

    @app.get("/")
    def home() -> ResponseReturnValue:
        if the_person():
            return redirect(url_for("store"))
        return render_template("sign_in.html", people=people.values())

    @app.post("/sign-in")
    def sign_in() -> ResponseReturnValue:
        if request.form.get("person") not in people:
            abort(400)
        session.clear()
        session["person"] = request.form["person"]
        return redirect(url_for("store"), 303)

    @app.post("/sign-out")
    def sign_out() -> ResponseReturnValue:
        person = the_person()
        if person is not None:
            tell(person)
        session.clear()
        return redirect(url_for("home"), 303)

    @app.get("/store")
    def store() -> ResponseReturnValue:
        if the_person() is None:
            return redirect(url_for("home"))
        return render_template("store.html", page="store")

    @app.get("/portals/<portal_id>")
    @in_portal
    def portal(person: Person, portal_id: str) -> ResponseReturnValue:
        return render_template("portal.html", page="portal", portal_id=portal_id)

    @app.get("/portals/<portal_id>/accounts")
    @in_portal
    def accounts(person: Person, portal_id: str) -> ResponseReturnValue:
        """Inline: on our own origin, through the reverse proxy."""
        return _accounts("accounts", portal_id, PREFIX)

    @app.get("/portals/<portal_id>/accounts-own-origin")
    @in_portal
    def accounts_own_origin(person: Person, portal_id: str) -> ResponseReturnValue:
        """In a frame: on Imported Clients' own origin."""
        return _accounts("accounts_own_origin", portal_id, settings.clients_url)

    def _accounts(page: str, portal_id: str, mount: str) -> str:
        surface = "table" if request.args.get("surface") == "table" else "tab"
        view = request.args.get("view", "")
        return render_template("accounts.html", page=page, portal_id=portal_id, mount=mount, surface=surface, view=view)

    @app.post("/handover-token")
    def handover_token() -> ResponseReturnValue:
        """A fresh hand-over token for the signed-in person. The custom element requests it."""
        person, portal_id = the_person(), request.args.get("portal", "")
        if person is None or portal_id not in person.roles:
            return "", 403
        answer = Response(signer.hand_over(person, portal_id), mimetype="text/plain")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.get("/.well-known/jwks.json")
    def public_keys() -> ResponseReturnValue:
        return signer.public_keys()

    @app.post("/portals/<portal_id>/change-role")
    @in_portal
    def change_role(person: Person, portal_id: str) -> ResponseReturnValue:
        """Demote or promote the signed-in person. It takes effect at once, because we tell Imported Clients."""
        person.roles[portal_id] = _ROLES[person.roles[portal_id]]
        tell(person, portal=portal_id, role=person.roles[portal_id])
        return redirect(url_for("portal", portal_id=portal_id), 303)

    @app.post("/check-name")
    def check_name() -> ResponseReturnValue:
        """For the shell's own htmx element: an answer that htmx shows, or a 422, which it does not show."""
        name = request.form.get("name", "").strip()
        return (f"“{name}” is free.", 200) if name.isalnum() else ("Not a name.", 422)

    @app.route(f"{PREFIX}/", defaults={"path": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    @app.route(f"{PREFIX}/<path:path>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def imported_clients(path: str) -> Response:
        return pass_on(request, path, prefix=PREFIX, port=settings.clients_port, own_cookie=COOKIE)

    return app
