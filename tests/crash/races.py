"""Two people who do something about the same client at the very same moment, at two web processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import func, select

from app.core.links import LinkClaim, LinkKind, make_url
from app.extensions import db
from app.models import ClientStatus, ImportedClient, Membership, OutboxMail
from tests.crash.installation import Installation
from tests.crash.people import Answer, Person
from tests.support.app_driver import HARBOUR
from tests.support.browser import path_of
from tests.support.together import at_once

PASSPHRASE = "a long enough passphrase"
DONE, GONE, MISSING, CONFLICT, REFUSED = 303, 410, 404, 409, 422
OK = 200


class Races:
    """Runs races on an installation with two web processes; each has an address of its own.

    What each of the two was answered is judged here, the mails and the table by the checker in the end.
    """

    def __init__(self, place: Installation) -> None:
        self.place = place
        for at in (0, 1):
            place.web(at=at)
        self.admin = place.admin()
        self._one, self._other = self.admin, self.admin.twin(place.address(1))
        self._number = 0
        self.illegal: list[str] = []

    def run(self, pair: str) -> None:
        """One race; what must not come of it is noted."""
        self._number += 1
        self.place.app_driver.forget_limits()
        email = f"{pair.replace('/', '-')}.{self._number}@client.test"
        outcome = _PAIRS[pair](self, email)
        if outcome is not None:
            self.illegal.append(f"{pair} of {email}: {outcome}")

    # The pairs. Each says what was wrong, if anything was.

    def add_add(self, email: str) -> str | None:
        statuses = self._at_once(lambda: self._one.add(email), lambda: self._other.add(email))
        return _unless(statuses == (OK, OK) and self._mails(email) == 1, statuses)

    def add_import(self, email: str) -> str | None:
        statuses = self._at_once(lambda: self._one.add(email), lambda: self._other.bring_in([email, f"and-{email}"]))
        return _unless(statuses in {(OK, OK), (OK, REFUSED)} and self._mails(email) == 1, statuses)

    def resend_resend(self, email: str) -> str | None:
        line = self._invited(email)
        statuses = self._at_once(lambda: self._one.resend(line), lambda: self._other.resend(line))
        # Both are the same admin, who has pressed twice.
        return _unless(statuses == (OK, OK) and self._generation(email) == 2, statuses)

    def resend_remove(self, email: str) -> str | None:
        line = self._invited(email)
        statuses = self._at_once(lambda: self._one.resend(line), lambda: self._other.remove(line))
        return _unless(statuses in {(OK, OK), (MISSING, OK)} and self._generation(email) is None, statuses)

    def remove_register(self, email: str) -> str | None:
        line, link = self._invited(email), self._link(email)
        statuses = self._at_once(lambda: self._one.remove(line), self._registering(link, email))
        is_legal = statuses in {(OK, DONE), (OK, GONE)} and self._generation(email) is None
        return _unless(is_legal and not self.place.app_driver.has_account(email), statuses)

    def resend_register(self, email: str) -> str | None:
        line, link = self._invited(email), self._link(email)
        statuses = self._at_once(lambda: self._one.resend(line), self._registering(link, email))
        is_legal = statuses in {(OK, DONE), (OK, GONE)} and self._generation(email) == 2
        return _unless(is_legal and self.place.app_driver.has_account(email) == (statuses[1] == DONE), statuses)

    def register_register(self, email: str) -> str | None:
        self._invited(email)
        link = self._link(email)
        statuses = self._at_once(self._registering(link, email), self._registering(link, email))
        return _unless({*statuses} in ({DONE, CONFLICT}, {DONE, GONE}), statuses)

    def verify_verify(self, email: str) -> str | None:
        self._invited(email)
        assert _status(self._registering(self._link(email), email)()) == DONE
        user = self.place.app_driver.user(email)
        claim = LinkClaim(str(user.id), user.verification_generation)
        link = path_of(self.place.app_driver.do(make_url, LinkKind.VERIFICATION, claim))
        visitors = [self._visitor(at, link) for at in (0, 1)]
        statuses = self._at_once(*(partial(visitor.press, link, {"password": PASSPHRASE}) for visitor in visitors))
        joined = self._client(email).status is ClientStatus.JOINED
        return _unless({*statuses} == {DONE, GONE} and joined and self._memberships(user.id) == 1, statuses)

    # What they need

    def _invited(self, email: str) -> Any:
        assert _status(self.admin.add(email)) == OK
        (line,) = [line for line in self.admin.newest() if line.email == email]
        return line

    def _link(self, email: str) -> str:
        return path_of(self.place.app_driver.link(self._client(email).id))

    def _visitor(self, at: int, path: str) -> Person:
        visitor = Person(self.place.address(at), self.place.ledger)
        visitor.look_at(path)
        return visitor

    def _registering(self, link: str, email: str) -> Callable[[], Answer | None]:
        """Somebody who has the page open and the form filled in."""
        self._number += 1
        visitor = self._visitor(self._number % 2, link)
        return lambda: visitor.register(link, email, "Nora Wind", PASSPHRASE)

    def _at_once(self, *calls: Callable[[], Answer | None]) -> tuple[int, ...]:
        """What each was answered; 0 stands for nothing."""
        return tuple(_status(answer) or 0 for answer in at_once(calls))

    def _client(self, email: str) -> ImportedClient:
        return self.place.app_driver.client(email)

    def _generation(self, email: str) -> int | None:
        query = select(ImportedClient.generation).where(ImportedClient.email == email)
        found = self.place.app_driver.do(lambda: db.session.scalars(query).all())
        assert len(found) < 2
        return int(found[0]) if found else None

    def _mails(self, email: str) -> int:
        query = select(func.count()).select_from(OutboxMail).where(OutboxMail.recipient == email)
        return int(self.place.app_driver.do(lambda: db.session.scalar(query)))

    def _memberships(self, user_id: int) -> int:
        query = select(func.count()).select_from(Membership)
        query = query.where(Membership.portal_id == HARBOUR, Membership.user_id == user_id)
        return int(self.place.app_driver.do(lambda: db.session.scalar(query)))


_PAIRS: dict[str, Callable[[Races, str], str | None]] = {
    "add/add": Races.add_add,
    "add/import": Races.add_import,
    "resend/resend": Races.resend_resend,
    "resend/remove": Races.resend_remove,
    "remove/register": Races.remove_register,
    "resend/register": Races.resend_register,
    "register/register": Races.register_register,
    "verify/verify": Races.verify_verify,
}
PAIRS = tuple(_PAIRS)


def _status(answer: Answer | None) -> int | None:
    return answer.status if answer else None


def _unless(is_legal: bool, statuses: tuple[int, ...]) -> str | None:
    return None if is_legal else f"answered with {statuses}"
