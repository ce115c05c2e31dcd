"""What admins do with their team, and what comes of it: a part of the random scenarios of `state_machine.py`."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import select

from app.extensions import db
from app.models import ColleagueInvitation
from tests.crash.portal_machine import PortalMachine
from tests.crash.team_model import ADMIN, STAFF, Colleague

_HTMX = st.booleans()
_ROLE = st.sampled_from([ADMIN, STAFF])


def _one_of(choose: Any) -> st.SearchStrategy[Any]:
    return st.runner().flatmap(lambda people: st.sampled_from(choose(people)))


_COLLEAGUE = _one_of(lambda people: people.colleagues)


class TeamRules(PortalMachine):
    """The admin invites colleagues, changes roles and takes them away. Nobody else is ever at the page."""

    @property
    def colleagues(self) -> list[Colleague]:
        """Most often one whose invitation is open."""
        team = self._expected.team
        return 5 * list(team.open.values()) + team.invitations

    @property
    def invitable(self) -> list[str]:
        """Whom the admin might invite to the team: strangers, somebody with an account, and who is there already."""
        return [f"{name}{self._domain}" for name in ("kim", "lou", "owner", "staff")]

    @property
    def members(self) -> list[str]:
        return self._expected.team.members

    @rule(email=_one_of(lambda people: people.invitable), role=_ROLE, htmx=_HTMX)
    def invite_colleague(self, email: str, role: str, htmx: bool) -> None:
        team = self._expected.team
        refused = 422 if email in team.members or email in team.open else None
        if self._act("POST", self._team, {"email": email, "role": role}, done=refused, htmx=htmx):
            team.invitations.append(Colleague(email, role, self._id_of_invitation(email), self._ada, team.roles))

    invite_colleague_2 = invite_colleague

    @precondition(lambda people: people.colleagues)
    @rule(colleague=_COLLEAGUE, htmx=_HTMX)
    def resend_to_colleague(self, colleague: Colleague, htmx: bool) -> None:
        path = f"{self._team}/invitations/{colleague.id}/resend"
        if self._act("POST", path, done=_done_to(colleague), htmx=htmx):
            self._expected.team.invite_again(colleague, self._ada)

    @precondition(lambda people: people.colleagues)
    @rule(colleague=_COLLEAGUE, htmx=_HTMX)
    def withdraw_from_colleague(self, colleague: Colleague, htmx: bool) -> None:
        path = f"{self._team}/invitations/{colleague.id}/withdraw"
        if self._act("POST", path, done=_done_to(colleague), htmx=htmx):
            colleague.is_withdrawn = True
            self._expected.forget_registrant(colleague)

    @precondition(lambda people: people.members)
    @rule(email=_one_of(lambda people: people.members), role=_ROLE, htmx=_HTMX)
    def change_role(self, email: str, role: str, htmx: bool) -> None:
        roles = self._expected.team.roles
        is_last = self._expected.team.admins == [email] and role == STAFF
        path = f"{self._team}/{self._user_id(email)}/role"
        if self._act("POST", path, {"role": role}, done=409 if is_last else None, htmx=htmx):
            roles[email] = role
            if (email, role) == (self._ada, STAFF):
                self._step_down(3)

    @precondition(lambda people: people.members)
    @rule(email=_one_of(lambda people: people.members), htmx=_HTMX)
    def remove_member(self, email: str, htmx: bool) -> None:
        """The admin never leaves of their own accord, for who would go on? But they are refused as the last one."""
        team = self._expected.team
        is_last = team.admins == [email]
        if email == self._ada and not is_last:
            return
        path = f"{self._team}/{self._user_id(email)}/remove"
        with self._nothing_changes():
            asked = self._browser(self._ada).get(path, htmx=htmx)
            assert asked.status_code == (403 if not self._is_admin else 409 if is_last else 200), asked.status_code
        if self._act("POST", path, done=409 if is_last else None, htmx=htmx):
            client = self._expected.clients.get(email)
            team.remove(email, is_client=client is not None and client.is_joined)

    def _step_down(self, steps: int) -> None:
        """The admin is staff for so many steps, and then admin again, without signing in anew."""
        self._staff_until = self.steps_gone + steps
        self._is_admin = False

    def _check_team(self) -> None:
        """The open invitations are those that ought to be, each with what it says."""

        def read() -> dict[str, tuple[str, str, int, bool]]:
            found = select(ColleagueInvitation).where(
                ColleagueInvitation.portal_id == self._portal, ColleagueInvitation.accepted_at.is_(None)
            )
            return {
                one.email: (one.id.hex, one.role, one.generation, one.user_id is not None)
                for one in db.session.scalars(found)
            }

        expected = {
            one.email: (one.id.replace("-", ""), one.role, one.generation, one.is_registered)
            for one in self._expected.team.open.values()
        }
        assert self._do(read) == expected, f"invitations of colleagues: {self._do(read)}"

    def _id_of_invitation(self, email: str) -> str:
        query = select(ColleagueInvitation.id).where(
            ColleagueInvitation.portal_id == self._portal, ColleagueInvitation.email == email
        )
        return str(self._do(lambda: db.session.scalars(query).one()))

    def _user_id(self, email: str) -> int:
        return int(self._place.app_driver.user(email).id)


def _done_to(colleague: Colleague) -> int | None:
    return 404 if colleague.is_withdrawn else 409 if colleague.is_accepted else None
