"""Templates: strict, named by what they are, with the variables they need on their first line, and no inline code."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
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

page_templates = pytest.mark.parametrize("name", PAGES)
fragments = pytest.mark.parametrize("name", FRAGMENTS)


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


def tree_of(name: str) -> nodes.Template:
    return environment().parse(source_of(name))


def tags_of(name: str) -> list[Tag]:
    """The elements of a template, whatever Jinja would put into them or leave out."""
    html = re.sub(r"{#.*?#}|{%.*?%}", "", source_of(name), flags=re.DOTALL)
    html = re.sub(r"{{.*?}}", "x", html, flags=re.DOTALL)
    return list(BeautifulSoup(html, "html.parser").find_all(True))


def included_by(name: str) -> set[str]:
    """The templates a template includes by name."""
    sources = [include.template for include in tree_of(name).find_all(nodes.Include)]
    return {source.value for source in sources if isinstance(source, nodes.Const)}


def extends(name: str) -> bool:
    return tree_of(name).find(nodes.Extends) is not None


def test_a_variable_that_is_missing_is_an_error() -> None:
    assert environment().undefined is StrictUndefined


@pytest.mark.parametrize("name", NAMES)
def test_names_are_in_snake_case(name: str) -> None:
    assert re.fullmatch(r"(?:[a-z]+(?:_[a-z]+)*/)*_?[a-z]+(?:_[a-z]+)*\.(?:html|txt)", name)


@page_templates
def test_what_is_included_is_named_as_a_fragment_and_is_no_whole_page(name: str) -> None:
    for included in included_by(name):
        assert included in FRAGMENTS, f"{name} includes {included}"
        assert not extends(included), f"{included} is a page"


@fragments
def test_a_fragment_names_what_it_needs_on_its_first_line(name: str) -> None:
    first_line = source_of(name).splitlines()[0]
    comment = re.fullmatch(r"{# (.*) #}", first_line)
    assert comment, "begin with one comment line"
    _what, said, needs = comment[1].partition("Needs: ")
    assert said, "say 'Needs: …', if only 'Needs: nothing.'"
    tree = tree_of(name)
    # Jinja itself takes `set counter.left = …` for the use of an outer variable.
    given = set(environment().globals) | FROM_FLASK | {counter.name for counter in tree.find_all(nodes.NSRef)}
    assert meta.find_undeclared_variables(tree) - given <= set(re.findall(r"\w+", needs))


@page_templates
def test_no_code_and_no_style_stands_in_a_page(name: str) -> None:
    """The Content-Security-Policy would refuse it, without a word to the person."""
    for tag in tags_of(name):
        assert tag.name != "style"
        assert tag.name != "script" or (tag.get("src") and not tag.get_text(strip=True))
        inline = [attr for attr in tag.attrs if attr == "style" or attr.startswith(("on", "hx-on"))]
        assert not inline, tag
        assert not str(tag.get("href", "")).lower().startswith("javascript:")


@page_templates
def test_every_element_that_asks_says_itself_where_the_answer_goes(name: str) -> None:
    asking = [tag for tag in tags_of(name) if {"hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete"} & set(tag.attrs)]
    for tag in asking:
        assert tag.get("hx-target"), tag
        assert tag.get("hx-swap"), tag


@page_templates
def test_nothing_asks_with_htmx_that_does_not_work_without_it(name: str) -> None:
    """An element that asks is a link, a form or its button in its own right, or it refreshes by itself."""
    for tag in tags_of(name):
        if "hx-trigger" in tag.attrs or not {"hx-get", "hx-post", "hx-delete"} & set(tag.attrs):
            continue
        form = tag.find_parent("form") if tag.name == "button" else None
        works = tag.get("href") or tag.get("action") or tag.get("formaction") or (form and form.get("action"))
        # A fragment may hold a button of a form that stands elsewhere.
        assert works or (tag.name == "button" and tag.get("form")), tag


@page_templates
def test_every_form_that_posts_carries_a_csrf_token(name: str) -> None:
    if name in WITHOUT_CSRF:
        return
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", source_of(name), re.DOTALL):
        assert "ui.csrf(" in form or "{{ csrf_field }}" in form
