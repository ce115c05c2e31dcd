"""Templates: strict, named by what they are, with the variables they need on their first line, and no inline code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from flask import Flask
from jinja2 import Environment, StrictUndefined, meta, nodes

from app import create_app
from config import load_settings

FOLDER = Path(__file__).resolve().parents[2] / "app" / "templates"
NAMES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file())
PAGES = [name for name in NAMES if not name.startswith("email/")]
FRAGMENTS = [name for name in PAGES if Path(name).name.startswith("_")]

# What Flask and its extensions give every template beside the environment's globals.
FROM_FLASK = {"request", "session", "g", "config", "current_user", "csrf_token"}

# The signed link is the authority, and mail programs post to it without a session (RFC 8058).
WITHOUT_CSRF = {"registration/unsubscribe_notices.html", "registration/unsubscribe_reminders.html"}


@cache
def the_app() -> Flask:
    return create_app(
        load_settings(
            {"DATABASE_URL": "sqlite:///never-opened.sqlite3", "SECRET_KEY": "a key for tests and nothing else"}
        )
    )


def environment() -> Environment:
    return the_app().jinja_env


def source_of(name: str) -> str:
    return (FOLDER / name).read_text()


@cache
def tree_of(name: str) -> nodes.Template:
    return environment().parse(source_of(name))


@cache
def tags_of(name: str) -> list[Tag]:
    """The elements of a template, whatever Jinja would put into them or leave out."""
    html = re.sub(r"{#.*?#}|{%.*?%}", "", source_of(name), flags=re.DOTALL)
    html = re.sub(r"{{.*?}}", "x", html, flags=re.DOTALL)
    return list(BeautifulSoup(html, "html.parser").find_all(True))


def tags_of_pages() -> Iterator[tuple[str, Tag]]:
    """Each element with the name of its template."""
    return ((name, tag) for name in PAGES for tag in tags_of(name))


def included_by(name: str) -> set[str]:
    """The templates a template includes by name."""
    sources = [include.template for include in tree_of(name).find_all(nodes.Include)]
    return {source.value for source in sources if isinstance(source, nodes.Const)}


def extends(name: str) -> bool:
    return tree_of(name).find(nodes.Extends) is not None


def test_a_variable_that_is_missing_is_an_error() -> None:
    assert environment().undefined is StrictUndefined


def test_names_are_in_snake_case() -> None:
    known = re.compile(r"(?:[a-z]+(?:_[a-z]+)*/)*_?[a-z]+(?:_[a-z]+)*\.(?:html|txt)")
    assert [name for name in NAMES if not known.fullmatch(name)] == []


def test_what_is_included_is_named_as_a_fragment_and_is_no_whole_page() -> None:
    for name in PAGES:
        for included in included_by(name):
            assert included in FRAGMENTS, f"{name} includes {included}"
            assert not extends(included), f"{included} is a page"


def test_a_fragment_names_what_it_needs_on_its_first_line() -> None:
    for name in FRAGMENTS:
        first_line = source_of(name).splitlines()[0]
        comment = re.fullmatch(r"{# (.*) #}", first_line)
        assert comment, f"{name}: begin with one comment line"
        _what, said, needs = comment[1].partition("Needs: ")
        assert said, f"{name}: say 'Needs: …', if only 'Needs: nothing.'"
        tree = tree_of(name)
        # Jinja itself takes `set counter.left = …` for the use of an outer variable.
        given = set(environment().globals) | FROM_FLASK | {counter.name for counter in tree.find_all(nodes.NSRef)}
        assert meta.find_undeclared_variables(tree) - given <= set(re.findall(r"\w+", needs)), name


def test_no_code_and_no_style_stands_in_a_page() -> None:
    """The Content-Security-Policy would refuse it, without a word to the person."""
    for name, tag in tags_of_pages():
        assert tag.name != "style", name
        assert tag.name != "script" or (tag.get("src") and not tag.get_text(strip=True)), (name, tag)
        inline = [attr for attr in tag.attrs if attr == "style" or attr.startswith(("on", "hx-on"))]
        assert not inline, (name, tag)
        assert not str(tag.get("href", "")).lower().startswith("javascript:"), (name, tag)


def test_every_element_that_asks_says_itself_where_the_answer_goes() -> None:
    for name, tag in tags_of_pages():
        if {"hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete"} & set(tag.attrs):
            assert tag.get("hx-target"), (name, tag)
            assert tag.get("hx-swap"), (name, tag)


def test_nothing_asks_with_htmx_that_does_not_work_without_it() -> None:
    """An element that asks is a link, a form or its button in its own right, or it refreshes by itself."""
    for name, tag in tags_of_pages():
        if "hx-trigger" in tag.attrs or not {"hx-get", "hx-post", "hx-delete"} & set(tag.attrs):
            continue
        form = tag.find_parent("form") if tag.name == "button" else None
        works = tag.get("href") or tag.get("action") or tag.get("formaction") or (form and form.get("action"))
        # A fragment may hold a button of a form that stands elsewhere.
        assert works or (tag.name == "button" and tag.get("form")), (name, tag)


def test_every_form_that_posts_carries_a_csrf_token() -> None:
    for name in set(PAGES) - WITHOUT_CSRF:
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", source_of(name), re.DOTALL):
            assert "ui.csrf(" in form or "{{ csrf_field }}" in form, (name, form)
