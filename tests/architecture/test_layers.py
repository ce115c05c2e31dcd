"""What import-linter cannot see (its contract is in pyproject.toml): services know no request, and wiring is apart."""

from __future__ import annotations

import ast
from collections.abc import Collection
from functools import cache
from pathlib import Path

from config import ROOT

VIEWS = ("routes", "forms", "guards", "current", "pages", "tab")
"""Modules of these names know requests, and so do those that end in `_routes` and the packages below."""
PACKAGES_WITH_REQUESTS = ("app.web", "app.observability", "app.cli", "app.jobs", "app.demo")
WIRING = ("app", "app.cli", "app.jobs", "app.demo", "wsgi")


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {_module_name(path): path for path in [*(ROOT / "app").rglob("*.py"), ROOT / "wsgi.py"]}


@cache
def imports_of(module: str) -> Collection[tuple[str, str | None]]:
    """Every import of a module, inside functions too: (module, name taken from it)."""
    found: set[tuple[str, str | None]] = set()
    for node in ast.walk(ast.parse(SOURCES[module].read_text())):
        if isinstance(node, ast.Import):
            found.update((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; write the whole name"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add((submodule, None) if submodule in SOURCES else (str(node.module), alias.name))
    return found


def package_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def is_view(module: str) -> bool:
    name = module.rpartition(".")[2]
    return name in VIEWS or name.endswith("_routes") or package_of(module) in PACKAGES_WITH_REQUESTS


def is_wiring(module: str) -> bool:
    return module in WIRING or package_of(module) in WIRING


SERVICES = [module for module in sorted(SOURCES) if not is_view(module) and not is_wiring(module)]


def test_only_the_wiring_imports_routes_and_jobs() -> None:
    for module in SOURCES:
        imported = {one for one, _name in imports_of(module)}
        found = {one for one in imported if one.endswith("routes") or package_of(one) == "app.jobs"}
        assert not found or is_wiring(module), f"{module} imports {found}"


def test_services_know_no_request_no_session_and_no_form() -> None:
    forbidden = {
        ("flask", None),  # `import flask` would hide what is taken from it
        *(("flask", name) for name in ("request", "session", "g", "redirect", "url_for", "make_response", "abort")),
        *(("flask_login", name) for name in (None, "current_user", "login_user", "logout_user", "login_required")),
        *(("flask_wtf", name) for name in (None, "FlaskForm", "Form")),
    }
    for module in SERVICES:
        known = set(imports_of(module))
        assert not known & forbidden, module
        assert not {imported for imported, _name in known if imported.partition(".")[0] == "wtforms"}, module
        views = {imported for imported, _name in known if is_view(imported)}
        assert not {view for view in views if package_of(view) != "app.observability"}, module


def test_forms_take_texts_alone() -> None:
    """A `FlaskForm` takes a file under a text field's name for its value: `TextForm` does not."""
    assert [module for module in SOURCES if ("flask_wtf", "FlaskForm") in imports_of(module)] == ["app.core.forms"]


PURE = {
    "app.core.address_faults",
    "app.core.csv_cells",
    "app.core.lookalikes",
    "app.core.spreadsheet_errors",
    "app.core.text",
    "app.core.text_errors",
    "app.imports.client_list",
    "app.imports.list_errors",
    "app.imports.csv_lines",
    "app.imports.csv_reader",
    "app.imports.file_faults",
    "app.imports.header",
    "app.imports.header_faults",
    "app.imports.row_faults",
    "app.imports.workbook",
    "app.imports.workbook_files",
}


def test_the_pure_core_knows_neither_flask_nor_a_database() -> None:
    """But for flask_babel, whose gettext says in English what is told outside a request."""
    for module in PURE:
        imported = {one for one, _name in imports_of(module)}
        roots = {one.partition(".")[0] for one in imported} - {"flask_babel"}
        assert not {root for root in roots if root.startswith(("flask", "sqlalchemy", "werkzeug", "wtforms"))}, module
        assert imported & SOURCES.keys() <= PURE | {"app.core.i18n"}, module
