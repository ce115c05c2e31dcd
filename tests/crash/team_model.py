"""What ought to be of a portal's team, told a second time: see `model.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

COLLEAGUE = "team-invitations"
LIFETIME = timedelta(days=7)
ADMIN, STAFF, CLIENT = "client_admin", "staff", "client"
RANKS = [CLIENT, STAFF, ADMIN]


@dataclass(eq=False)
class Colleague:
    """An invitation to the team, of which each has an id of its own."""

    email: str
    role: str
    id: str
    inviter: str
    roles: Mapping[str, str]
    """Of everybody in the portal, as they are at any time."""
    generation: int = 1
    mail: str = "queued"
    ends_at: datetime | None = None
    is_registered: bool = False
    registered_generation: int | None = None
    is_accepted: bool = False
    is_withdrawn: bool = False

    def __repr__(self) -> str:
        return self.email

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis prints it."""
        printer.text(self.email)

    @property
    def is_open(self) -> bool:
        return not (self.is_accepted or self.is_withdrawn)

    @property
    def is_backed(self) -> bool:
        """It counts as long as who has sent it is an admin."""
        return self.roles.get(self.inviter) == ADMIN

    def link_state(self, generation: int, at: datetime) -> str:
        if self.is_withdrawn:
            return "withdrawn"
        if self.is_accepted or generation == self.registered_generation:
            return "used"
        if generation != self.generation:
            return "replaced"
        if not self.is_backed:
            return "withdrawn"
        return "expired" if self.ends_at is not None and at >= self.ends_at else "valid"


class ExpectedTeam:
    """The invitations of a portal, and the roles that come of them."""

    def __init__(self, roles: dict[str, str]) -> None:
        self.roles = roles
        self.invitations: list[Colleague] = []

    @property
    def members(self) -> list[str]:
        return [email for email, role in self.roles.items() if role != CLIENT]

    @property
    def admins(self) -> list[str]:
        return [email for email, role in self.roles.items() if role == ADMIN]

    @property
    def open(self) -> dict[str, Colleague]:
        return {one.email: one for one in self.invitations if one.is_open}

    def invite_again(self, colleague: Colleague, inviter: str) -> None:
        colleague.generation += 1
        colleague.inviter = inviter
        colleague.mail, colleague.ends_at = "queued", None

    def join(self, colleague: Colleague) -> None:
        if not colleague.is_backed:
            return
        colleague.is_accepted = True
        before = self.roles.get(colleague.email)
        if before is None or RANKS.index(before) < RANKS.index(colleague.role):
            self.roles[colleague.email] = colleague.role

    def remove(self, email: str, *, is_client: bool) -> None:
        for one in self.invitations:
            if one.email == email and one.is_accepted:
                one.is_withdrawn = True
        if is_client:
            self.roles[email] = CLIENT
        else:
            del self.roles[email]
