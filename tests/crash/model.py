"""What ought to be, after everything that anybody has done: a second, small telling of the rules, without a database.

It shares nothing with the application, so that the two are wrong in the same way only if somebody thought so twice.
Times are those of the application's clock; whoever asks says what time it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.crash.team_model import COLLEAGUE, LIFETIME, Colleague, ExpectedTeam

INVITATION = "invitations"
VERIFICATION = "verify-email"
LIFETIMES = {INVITATION: timedelta(days=7), VERIFICATION: timedelta(hours=48)}


@dataclass
class Account:
    """Somebody's account, and the newest of its verification mails."""

    email: str
    is_verified: bool = False
    is_gone: bool = False
    """Removed with its client, having never been verified."""
    generation: int = 1
    mail: str = "queued"
    ends_at: datetime | None = None

    def __repr__(self) -> str:
        return self.email

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis prints it."""
        printer.text(self.email)

    def link_state(self, generation: int, at: datetime) -> str:
        if self.is_gone:
            return "gone"
        if self.is_verified:
            return "used"
        if generation != self.generation:
            return "replaced"
        return "expired" if self.ends_at is not None and at >= self.ends_at else "valid"


@dataclass(eq=False)
class Client:
    """A line of the table, with all that was ever written into its history."""

    company_name: str
    email: str
    id: str = ""
    """Told by the table, when it shows the client for the first time."""
    generation: int = 1
    mail: str = "queued"
    ends_at: datetime | None = None
    is_registered: bool = False
    registered_generation: int | None = None
    is_joined: bool = False
    is_removed: bool = False
    has_lapsed: bool = False
    events: list[str] = field(default_factory=lambda: ["invited", "mail_queued"])
    others: Mapping[str, Client] = field(default_factory=dict)
    """Once it is removed: the clients in the table, by address. One of them may have its address."""

    def __repr__(self) -> str:
        return self.email

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis prints it."""
        printer.text(self.email)

    def link_state(self, generation: int, at: datetime) -> str:
        if self.is_removed:
            newer = self.others.get(self.email)
            return "withdrawn" if newer is None else "used" if newer.is_joined else "replaced"
        if self.is_joined or generation == self.registered_generation:
            return "used"
        if generation != self.generation:
            return "replaced"
        if self.is_over(at):
            return "expired"
        return "undelivered" if self.mail == "failed" else "valid"

    def is_over(self, at: datetime) -> bool:
        return self.ends_at is not None and at >= self.ends_at

    def shown(self, at: datetime) -> tuple[str, str, str, str | None]:
        """Name, status, delivery and link as the table shows them."""
        if self.is_joined:
            return self.company_name, "joined", self.mail, None
        is_dead = (self.is_over(at) or self.mail == "failed") and not self.is_registered
        return self.company_name, "invite_sent", self.mail, "expired" if is_dead else "valid"


@dataclass(frozen=True)
class Mailed:
    """A mail that was taken by the mail server: to whom, and which link of whose it held."""

    recipient: str
    kind: str
    subject: str
    """The client's id, or the account's address."""
    generation: int


class Expected:
    """One portal and its clients. What an action is answered with is for who asks to compare; here is what it does."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        """Those in the table, by address."""
        self.removed: list[Client] = []
        self.accounts: dict[str, Account] = {}
        self.roles: dict[str, str] = {}
        self.team = ExpectedTeam(self.roles)
        self.mailed: Counter[Mailed] = Counter()
        self.refusals: Counter[str] = Counter()
        """How often the mail server still says "not now" to an address."""
        self.refused_for_good: set[str] = set()

    @property
    def everybody(self) -> list[Client]:
        return [*self.clients.values(), *self.removed]

    # What admins do

    def add(self, company_name: str, email: str) -> None:
        self.clients.setdefault(email, Client(company_name, email))

    def invite_again(self, client: Client, why: str = "resent") -> None:
        client.generation += 1
        client.mail = "queued"
        client.ends_at = None
        client.has_lapsed = False
        client.events += [why, "mail_queued"]

    def correct(self, client: Client, company_name: str, email: str) -> None:
        is_other = (client.company_name, client.email) != (company_name, email)
        if client.email != email:
            # Who registered for the older address has nothing to do with this one.
            self.forget_registrant(client)
            client.is_registered, client.registered_generation = False, None
            del self.clients[client.email]
            self.clients[email] = client
        client.company_name, client.email = company_name, email
        self.invite_again(client, "corrected" if is_other else "resent")

    def remove(self, client: Client) -> None:
        self.forget_registrant(client)
        del self.clients[client.email]
        client.is_removed, client.others = True, self.clients
        client.events.append("removed")
        self.removed.append(client)

    def forget_registrant(self, invited: Client | Colleague) -> None:
        account = self.accounts.get(invited.email)
        if invited.is_registered and account is not None and not account.is_verified:
            account.is_gone = True
            del self.accounts[invited.email]

    # What invitees do

    def register(self, invited: Client | Colleague) -> None:
        invited.is_registered, invited.registered_generation = True, invited.generation
        if isinstance(invited, Client):
            invited.events.append("registered")
        self.accounts[invited.email] = Account(invited.email)

    def verify(self, account: Account) -> None:
        account.is_verified = True
        client = self.clients.get(account.email)
        if client is not None and client.is_registered and not client.is_joined:
            client.events.append("verified")
            self.join(client)
        colleague = self.team.open.get(account.email)
        if colleague is not None and colleague.is_registered:
            self.team.join(colleague)

    def ask_for_verification(self, account: Account) -> None:
        account.generation += 1
        account.mail, account.ends_at = "queued", None

    def join(self, client: Client | Colleague) -> None:
        if isinstance(client, Colleague):
            self.team.join(client)
            return
        client.is_joined = True
        # A reminder that waits is called off, and a client of whose mail nothing is known counts as reached.
        client.mail = "sent" if client.mail == "queued" else client.mail
        client.events.append("joined")
        self.roles.setdefault(client.email, "client")

    # What happens by itself

    def send(self, at: datetime) -> None:
        """Everything that waits is offered to the mail server once."""
        for client in self.clients.values():
            if client.mail != "queued":
                continue
            client.mail = self._offer(Mailed(client.email, INVITATION, client.id, client.generation))
            if client.mail == "sent":
                client.ends_at = at + LIFETIMES[INVITATION]
            if client.mail != "queued":
                client.events.append(f"mail_{client.mail}")
        for colleague in self.team.open.values():
            if colleague.mail == "queued":
                # Without an admin who stands for it, it is dropped.
                colleague.mail = "dropped"
                if colleague.is_backed and colleague.registered_generation != colleague.generation:
                    self.mailed[Mailed(colleague.email, COLLEAGUE, colleague.id, colleague.generation)] += 1
                    colleague.mail, colleague.ends_at = "sent", at + LIFETIME
        for account in self.accounts.values():
            if account.mail == "queued" and not account.is_verified:
                account.mail = self._offer(Mailed(account.email, VERIFICATION, account.email, account.generation))
                account.ends_at = at + LIFETIMES[VERIFICATION] if account.mail == "sent" else None

    def _offer(self, mail: Mailed) -> str:
        if mail.recipient in self.refused_for_good:
            return "failed"
        if self.refusals[mail.recipient]:
            self.refusals[mail.recipient] -= 1
            return "queued"
        self.mailed[mail] += 1
        return "sent"

    def let_lapse(self, at: datetime) -> None:
        """Lapsed links are written into the histories, each once."""
        for client in self.clients.values():
            if client.is_over(at) and not (client.is_joined or client.is_registered or client.has_lapsed):
                client.has_lapsed = True
                client.events.append("expired")

    @property
    def waits(self) -> bool:
        """Whether a mail is still to be sent."""
        waiting = [client.mail for client in self.clients.values()]
        waiting += [colleague.mail for colleague in self.team.open.values()]
        waiting += [account.mail for account in self.accounts.values() if not account.is_verified]
        return "queued" in waiting
