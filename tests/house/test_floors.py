"""The house has floors: imports run downwards only, and no room knows what it must not know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the ground up. A module stands on the floor that names it, else on the highest one whose pattern fits.
# It may import whatever lies below it, and on its own floor only what is in its own package.
SERVICES = (
    ("app.accounts", "app.accounts.*"),
    ("app.portals", "app.portals.*"),
    ("app.embed", "app.embed.*"),
    ("app.sso", "app.sso.*"),
    ("app.branding", "app.branding.*"),
    # What a portal looks like is a part of it.
    ("app.branding.policy",),
    ("app.outbox", "app.outbox.*"),
    ("app.webhooks", "app.webhooks.*"),
    ("app.invitations", "app.invitations.*"),
    ("app.clients", "app.clients.*"),
    ("app.imports", "app.imports.*", "app.registration", "app.registration.*"),
)
FLOORS = (
    (
        "app.core.clock",
        "app.net.dialer",
        "app.core.field_labels",
        "app.core.i18n",
        "app.core.ids",
        "app.core.errors",
        "app.core.spellings",
        "app.core.text",
    ),
    ("app.imports.csv_reader", "app.net.http"),
    ("app.extensions",),
    ("app.db.database", "app.models", "app.models.*"),
    (
        "app.db.batches",
        "app.invitations.history",
        "app.core.links",
        "app.observability.metrics",
        "app.core.encryption",
        "app.core.signals",
        "app.db.rate_limits",
    ),
    ("app.core.redaction", "app.db.encrypted_columns"),
    ("app.queue", "app.queue.*"),
    *SERVICES,
    # Accounts lie below nearly everything; but this one writes mails.
    ("app.accounts.lockout_notice", "app.accounts.sign_in"),
    # From here on requests are known: who asks, what was typed, how it is answered.
    ("app.web.cookies",),
    ("app.web.responses", "app.web.locale", "app.*.current", "app.*.forms"),
    ("app.*.guards", "app.clients.tab", "app.web.uploads"),
    ("app.web.health", "app.*.routes", "app.*_routes"),
    ("app.jobs", "app.jobs.*"),
    (
        "app.cli",
        "app.cli.*",
        "app.web.error_pages",
        "app.observability.logs",
        "app.observability.request_log",
        "app.web.security_headers",
    ),
    ("app",),
    ("app.demo", "app.demo.*"),
    ("wsgi",),
)
FIRST_FLOOR_WITH_REQUESTS = FLOORS.index(("app.web.cookies",))


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {_module_name(path): path for path in [*(ROOT / "app").rglob("*.py"), ROOT / "wsgi.py"]}


def imports_of(module: str) -> Iterator[tuple[str, str | None]]:
    """Every import of a module, inside functions too: (module, name taken from it)."""
    for node in ast.walk(ast.parse(SOURCES[module].read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; write the whole name"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield (submodule, None) if submodule in SOURCES else (str(node.module), alias.name)


def our_imports_of(module: str) -> set[str]:
    return {imported for imported, _name in imports_of(module) if imported in SOURCES}


def floor_of(module: str) -> int:
    named = [number for number, floor in enumerate(FLOORS) if module in floor]
    fitting = [number for number, floor in enumerate(FLOORS) if any(fnmatchcase(module, one) for one in floor)]
    assert fitting, f"{module} has no floor yet: give it one in {Path(__file__).name}"
    return (named or fitting)[-1]


def package_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def is_wiring(module: str) -> bool:
    return module in {"app", "wsgi"} or package_of(module) in {"app.cli", "app.jobs", "app.demo"}


every_module = pytest.mark.parametrize("module", sorted(SOURCES))


@every_module
def test_imports_run_downwards_only(module: str) -> None:
    upwards = {
        imported
        for imported in our_imports_of(module)
        if floor_of(imported) > floor_of(module)
        or (floor_of(imported) == floor_of(module) and package_of(imported) != package_of(module))
    }
    assert not upwards


@pytest.mark.parametrize("module", [m for m in sorted(SOURCES) if not is_wiring(m)])
def test_only_the_wiring_imports_routes_and_jobs(module: str) -> None:
    wired = {one for one in our_imports_of(module) if one.endswith(".routes") or package_of(one) == "app.jobs"}
    assert not wired


@pytest.mark.parametrize("module", [m for m in sorted(SOURCES) if floor_of(m) < FIRST_FLOOR_WITH_REQUESTS])
def test_below_the_views_nobody_knows_the_request_the_session_or_a_form(module: str) -> None:
    forbidden = {
        ("flask", None),  # `import flask` would hide what is taken from it
        *(("flask", name) for name in ("request", "session", "g", "redirect", "url_for", "make_response", "abort")),
        *(("flask_login", name) for name in (None, "current_user", "login_user", "logout_user", "login_required")),
        *(("flask_wtf", name) for name in (None, "FlaskForm", "Form")),
    }
    known = {(imported, name) for imported, name in imports_of(module)}
    assert not known & forbidden
    assert not {imported for imported, _name in known if imported.partition(".")[0] == "wtforms"}


@pytest.mark.parametrize("module", ["app.core.text", "app.imports.csv_reader"])
def test_the_pure_core_knows_neither_flask_nor_a_database(module: str) -> None:
    roots = {imported.partition(".")[0] for imported, _name in imports_of(module)}
    assert not {root for root in roots if root.startswith(("flask", "sqlalchemy", "werkzeug", "wtforms"))}
    assert our_imports_of(module) <= {"app.core.text"}


def test_every_floor_is_lived_on() -> None:
    """A floor whose modules were renamed would guard nothing."""
    lived_on = {floor_of(module) for module in SOURCES}
    assert lived_on == set(range(len(FLOORS)))
