"""The people who may sign in to the shell, and their roles in each portal. Kept in memory, because it is an example."""

from __future__ import annotations

from dataclasses import dataclass, field

PORTALS = {"harbour": "Harbour & Fjord Stays", "alpine": "Alpine Quarter Hotels"}


@dataclass
class Person:
    """Somebody with an account in the shell; `id` never changes."""

    id: str
    name: str
    email: str
    roles: dict[str, str] = field(default_factory=dict)
    """The role in each portal, by portal id: client_admin, staff or client."""


def demo_people() -> dict[str, Person]:
    """The people of the demo, by id."""
    people = [
        Person("p-1", "Mira Lindqvist", "mira@harbour.example", {"harbour": "client_admin", "alpine": "client_admin"}),
        Person("p-2", "Sam Okafor", "sam@harbour.example", {"harbour": "staff"}),
        Person("p-3", "Elena Moretti", "elena@harbour.example", {"harbour": "client_admin"}),
    ]
    return {person.id: person for person in people}
