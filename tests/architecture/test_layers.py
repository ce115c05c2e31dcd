"""What import-linter cannot see (its contract is in pyproject.toml): services know no request, and wiring is apart."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import ROOT

VIEWS = ("routes", "forms", "guards", "current", "pages", "tab")
"""Modules of these names know requests, and so do those that end in `_routes` and the packages below."""
PACKAGES_WITH_REQUESTS = ("app.web", "app.observability", "app.cli", "app.jobs", "app.demo")
WIRING = ("app", "app.cli", "app.jobs", "app.demo", "wsgi")


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


def package_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def is_view(module: str) -> bool:
    name = module.rpartition(".")[2]
    return name in VIEWS or name.endswith("_routes") or package_of(module) in PACKAGES_WITH_REQUESTS


def is_wiring(module: str) -> bool:
    return module in WIRING or package_of(module) in WIRING


SERVICES = [module for module in sorted(SOURCES) if not is_view(module) and not is_wiring(module)]


@pytest.mark.parametrize("module", [m for m in sorted(SOURCES) if not is_wiring(m)])
def test_only_the_wiring_imports_routes_and_jobs(module: str) -> None:
    imported = {one for one, _name in imports_of(module)}
    assert not {one for one in imported if one.endswith("routes") or package_of(one) == "app.jobs"}


@pytest.mark.parametrize("module", SERVICES)
def test_services_know_no_request_no_session_and_no_form(module: str) -> None:
    forbidden = {
        ("flask", None),  # `import flask` would hide what is taken from it
        *(("flask", name) for name in ("request", "session", "g", "redirect", "url_for", "make_response", "abort")),
        *(("flask_login", name) for name in (None, "current_user", "login_user", "logout_user", "login_required")),
        *(("flask_wtf", name) for name in (None, "FlaskForm", "Form")),
    }
    known = {(imported, name) for imported, name in imports_of(module)}
    assert not known & forbidden
    assert not {imported for imported, _name in known if imported.partition(".")[0] == "wtforms"}
    assert not {
        imported for imported, _name in known if is_view(imported) and package_of(imported) != "app.observability"
    }


@pytest.mark.parametrize("module", [m for m in sorted(SOURCES) if m != "app.core.forms"])
def test_forms_take_texts_alone(module: str) -> None:
    """A `FlaskForm` takes a file under a text field's name for its value: `TextForm` does not."""
    assert ("flask_wtf", "FlaskForm") not in imports_of(module)


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


@pytest.mark.parametrize("module", sorted(PURE))
def test_the_pure_core_knows_neither_flask_nor_a_database(module: str) -> None:
    roots = {imported.partition(".")[0] for imported, _name in imports_of(module)}
    assert not {root for root in roots if root.startswith(("flask", "sqlalchemy", "werkzeug", "wtforms"))}
    ours = {imported for imported, _name in imports_of(module) if imported in SOURCES}
    assert ours <= PURE
