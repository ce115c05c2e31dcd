"""Links that must not work, of every kind there is, opened and pressed beside those that do."""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address
from itertools import cycle, islice
from typing import Any
from uuid import UUID, uuid4

from itsdangerous import Signer
from sqlalchemy import select, update

from app.core.links import LinkClaim, LinkKind, make_token
from app.db.transactions import transaction
from app.extensions import db
from app.models import ColleagueInvitation, ImportedClient, Role, User
from app.portals.team import invite_colleague
from tests.crash.installation import ADA, Installation
from tests.support.app_driver import HARBOUR
from tests.support.browser import Browser, path_of
from tests.support.factories import PASSWORD, make_member, make_portal, make_user

ALPINE, OLAF = "alpine", "olaf@alpine.test"

_GENERATION = 50
_FORM = {"name": "Nora Wind", "password": "a long enough passphrase"}
_CHARACTERS = string.ascii_letters + string.digits + "-_.~!$*"
_GONE, _UNKNOWN = 410, 404

Claim = tuple[LinkKind, LinkClaim]


class DeadLinks:
    """One installation with live links of each kind, and around them whatever is dead."""

    def __init__(self, place: Installation, chance: random.Random) -> None:
        self._place = place
        self._chance = chance
        do, invite = place.app_driver.do, place.app_driver.invite
        do(make_portal, ALPINE, "Alpine Stays")
        do(make_member, ALPINE, OLAF, "Olaf Nyman", Role.CLIENT_ADMIN)
        people = {
            name: do(make_user, f"{name}@client.test", name, verified=name in {"owner", "joined"})
            for name in ("owner", "late", "joined", "unverified")
        }
        clients = {name: invite(f"{name}@client.test") for name in people}
        invited_alone = [invite(f"{name}@client.test") for name in ("alone", "lapsed")]
        removed = [invite(f"removed{n}@client.test") for n in range(3)]
        for client_id in removed:
            place.app_driver.remove(client_id)
        invite("removed0@client.test")
        over = datetime.now(UTC) - timedelta(seconds=1)
        self._write(update(ImportedClient).values(generation=_GENERATION))
        self._write(update(User).values(verification_generation=_GENERATION, reset_generation=_GENERATION))
        self._write(update(User).where(User.id == people["late"]).values(
            verification_expires_at=over, reset_expires_at=over
        ))  # fmt: skip
        for client_id in (clients["late"], invited_alone[1]):
            place.app_driver.let_link_lapse(client_id, over)
        self._owner = self._signed_in("owner@client.test")
        self._nobody = Browser(place.app)
        assert self._signed_in("joined@client.test").post(self._path(_invitation(clients["joined"]))).status_code == 303

        do(invite_colleague, HARBOUR, place.app_driver.user(ADA).id, "colleague@harbour.test", Role.STAFF)
        do(invite_colleague, HARBOUR, place.app_driver.user(ADA).id, "tardy@harbour.test", Role.STAFF)
        do(invite_colleague, HARBOUR, place.app_driver.user(ADA).id, "accepted@harbour.test", Role.STAFF)
        self._write(update(ColleagueInvitation).values(generation=_GENERATION))
        self._write(
            update(ColleagueInvitation)
            .where(ColleagueInvitation.email == "tardy@harbour.test")
            .values(link_expires_at=over)
        )
        colleague, tardy, accepted = (
            _of_colleague(do(_id_of_colleague, f"{name}@harbour.test")) for name in ("colleague", "tardy", "accepted")
        )
        do(make_user, "accepted@harbour.test", "Axel Lind")
        assert self._signed_in("accepted@harbour.test").post(self._path(accepted)).status_code == 303

        owner, unverified = people["owner"], people["unverified"]
        self._live = [
            _invitation(clients["owner"]),
            _invitation(invited_alone[0]),
            _of_account(LinkKind.VERIFICATION, unverified),
            _of_account(LinkKind.PASSWORD_RESET, owner),
            colleague,
        ]
        # These two never die while their client or membership is there.
        lasting = [
            (LinkKind.STOP_REMINDERS, LinkClaim(f"{HARBOUR}.{clients['owner'].hex}", 0)),
            (LinkKind.STOP_NOTICES, LinkClaim(f"{HARBOUR}.{people['joined']}", 0)),
        ]
        self._mortal_in_turns = cycle(list(self._live))
        self._live += lasting
        self._live_in_turns = cycle(self._live)
        self._expired = [
            _invitation(clients["late"]),
            _invitation(invited_alone[1]),
            _of_account(LinkKind.VERIFICATION, people["late"]),
            _of_account(LinkKind.PASSWORD_RESET, people["late"]),
            tardy,
        ]
        self._removed = removed
        self._used = [_invitation(clients["joined"]), _of_account(LinkKind.VERIFICATION, people["joined"]), accepted]
        self._ours = [clients["owner"], invited_alone[0]]

    def run(self, times: int) -> Counter[str]:
        """Try so many; returns how many there were of each kind. Raises AssertionError for one that is alive."""
        tried: Counter[str] = Counter()
        before = self._place.app_driver.dump()
        for kind, make in islice(cycle(_KINDS.items()), times):
            path, wanted = make(self)
            browser = self._chance.choice([self._nobody, self._owner])
            # From ever other networks, of which none posts too often.
            browser.client.environ_base["REMOTE_ADDR"] = str(IPv4Address(self._chance.getrandbits(32)))
            for answer in (browser.get(path), browser.client.head(path), browser.post(path, _FORM)):
                assert answer.status_code == wanted, f"{kind}: {path} was answered with {answer.status_code}"
            tried[kind] += 1
        assert self._place.app_driver.dump() == before, "one of them has changed something"
        for claim in self._live:
            assert self._nobody.get(self._path(claim)).status_code == 200, f"{claim} ought to be alive"
        return tried

    # The kinds: each with what it is answered with.

    def expired(self) -> tuple[str, int]:
        return self._path(self._chance.choice(self._expired)), _GONE

    def replaced(self) -> tuple[str, int]:
        kind, claim = next(self._mortal_in_turns)
        generation = self._chance.choice([*range(_GENERATION), _GENERATION + 1, 2 * _GENERATION])
        return self._path((kind, LinkClaim(claim.subject, generation))), _GONE

    def withdrawn(self) -> tuple[str, int]:
        client_id = self._chance.choice([*self._removed, uuid4()])
        invitation = _invitation(client_id, self._chance.randint(1, _GENERATION))
        reminders = (LinkKind.STOP_REMINDERS, LinkClaim(f"{HARBOUR}.{client_id.hex}", 0))
        return self._path(self._chance.choice([invitation, reminders, _of_colleague(uuid4())])), _GONE

    def used(self) -> tuple[str, int]:
        return self._path(self._chance.choice(self._used)), _GONE

    def of_another_key(self) -> tuple[str, int]:
        kind, claim = next(self._live_in_turns)
        assert _signed(self._place.settings["SECRET_KEY"], kind, claim) == self._token((kind, claim))
        return f"/{kind}/{_signed(f'another key {self._chance.random()}', kind, claim)}", _UNKNOWN

    def of_another_portal(self) -> tuple[str, int]:
        """Signed for a portal that has no such client; or with the portal's name put into a live one."""
        client_id = self._chance.choice(self._ours)
        if self._chance.random() < 0.5:
            return self._path(_invitation(client_id, portal_id=ALPINE)), _GONE
        return self._path(_invitation(client_id)).replace(f"/{HARBOUR}.", f"/{ALPINE}."), _UNKNOWN

    def changed_by_a_character(self) -> tuple[str, int]:
        kind, token = self._live_token()
        place = self._chance.randrange(len(token))
        other = self._chance.choice([character for character in _CHARACTERS if character != token[place]])
        return f"/{kind}/{token[:place]}{other}{token[place + 1 :]}", _UNKNOWN

    def truncated(self) -> tuple[str, int]:
        kind, token = self._live_token()
        place = self._chance.randrange(1, len(token))
        return f"/{kind}/{self._chance.choice([token[:place], token[place:]])}", _UNKNOWN

    def of_another_kind(self) -> tuple[str, int]:
        kind, token = self._live_token()
        other = self._chance.choice([one for one in LinkKind if one is not kind])
        return f"/{other}/{token}", _UNKNOWN

    # What they need

    def _live_token(self) -> tuple[LinkKind, str]:
        claim = next(self._live_in_turns)
        return claim[0], self._token(claim)

    def _token(self, claim: Claim) -> str:
        return str(self._place.app_driver.do(make_token, *claim))

    def _path(self, claim: Claim) -> str:
        return path_of(f"/{claim[0]}/{self._token(claim)}")

    def _signed_in(self, email: str) -> Browser:
        browser = Browser(self._place.app)
        assert browser.sign_in(email, PASSWORD).status_code == 303
        return browser

    def _write(self, statement: Any) -> None:
        def write() -> None:
            with transaction() as session:
                session.execute(statement)

        self._place.app_driver.do(write)


_KINDS: dict[str, Callable[[DeadLinks], tuple[str, int]]] = {
    "expired": DeadLinks.expired,
    "replaced": DeadLinks.replaced,
    "withdrawn": DeadLinks.withdrawn,
    "used": DeadLinks.used,
    "of another key": DeadLinks.of_another_key,
    "of another portal": DeadLinks.of_another_portal,
    "changed by a character": DeadLinks.changed_by_a_character,
    "truncated": DeadLinks.truncated,
    "of another kind": DeadLinks.of_another_kind,
}
KINDS_OF_DEATH = tuple(_KINDS)


def _invitation(client_id: UUID, generation: int = _GENERATION, portal_id: str = HARBOUR) -> Claim:
    return LinkKind.INVITATION, LinkClaim(f"{portal_id}.{client_id.hex}", generation)


def _of_colleague(invitation_id: UUID) -> Claim:
    return LinkKind.COLLEAGUE, LinkClaim(f"{HARBOUR}.{invitation_id.hex}", _GENERATION)


def _id_of_colleague(email: str) -> UUID:
    found = db.session.scalar(select(ColleagueInvitation.id).where(ColleagueInvitation.email == email))
    assert found is not None
    return found


def _of_account(kind: LinkKind, user_id: int) -> Claim:
    return kind, LinkClaim(str(user_id), _GENERATION)


def _signed(key: str, kind: LinkKind, claim: LinkClaim) -> str:
    """A link as somebody would make it who knows how we do, and has a key."""
    signer = Signer(key, salt=f"link:{kind}", key_derivation="hmac", digest_method=sha256)
    return signer.sign(f"{claim.subject}.{claim.generation}").decode()
