"""The page of the table has parts that several journeys press or read."""

from __future__ import annotations

from playwright.sync_api import Locator

from tests.support.chromium import Person


def filter_button(person: Person) -> Locator:
    return person.page.get_by_role("button", name="Filter", exact=True)


def theme_switch(person: Person) -> Locator:
    return person.page.get_by_role("button", name="Switch theme")


def number(person: Person, name: str) -> Locator:
    return person.page.locator(f"[data-filter-tab={name}] a")


def told(person: Person) -> Locator:
    """The sentence about what became of a selection."""
    return person.page.get_by_role("status").locator("[data-told]")


def question(person: Person) -> Locator:
    """The dialog in front of the panel."""
    return person.page.get_by_role("dialog", name="Edit and resend")
