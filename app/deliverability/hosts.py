"""A mail server as an SPF record sees it: its addresses, and what its provider tells customers to include."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from app.deliverability.domains import address_of, ascii_domain, organisational_domain
from app.net.dns import Address, Dns

_INCLUDES = {
    "gmail.com": "_spf.google.com",
    "google.com": "_spf.google.com",
    "office365.com": "spf.protection.outlook.com",
    "outlook.com": "spf.protection.outlook.com",
    "amazonaws.com": "amazonses.com",
    "sendgrid.net": "sendgrid.net",
    "mailgun.org": "mailgun.org",
    "postmarkapp.com": "spf.mtasv.net",
    "mailjet.com": "spf.mailjet.com",
    "brevo.com": "spf.brevo.com",
    "sendinblue.com": "spf.brevo.com",
    "mandrillapp.com": "spf.mandrillapp.com",
    "fastmail.com": "spf.messagingengine.com",
    "messagingengine.com": "spf.messagingengine.com",
    "protonmail.ch": "_spf.protonmail.ch",
    "migadu.com": "spf.migadu.com",
    "ovh.net": "mx.ovh.com",
    "gandi.net": "_mailcust.gandi.net",
    "ionos.com": "_spf-us.ionos.com",
    "ionos.de": "_spf-eu.ionos.com",
    "ionos.co.uk": "_spf-eu.ionos.com",
    "ionos.fr": "_spf-eu.ionos.com",
    "ionos.es": "_spf-eu.ionos.com",
    "ionos.it": "_spf-eu.ionos.com",
    "hostinger.com": "_spf.mail.hostinger.com",
    "yandex.ru": "_spf.yandex.net",
    "yandex.com": "_spf.yandex.net",
}
"""By the organisational domain of the mail server: what its provider tells customers to include."""


@dataclass(frozen=True)
class SendingHost:
    """A mail server, by the name that the settings give it."""

    name: str
    addresses: tuple[Address, ...]
    """Its public addresses. None for one inside a network, whose mails leave by an address that we cannot know."""

    @property
    def include(self) -> str | None:
        return _INCLUDES.get(organisational_domain(self.name))

    def is_included(self, domain: str, included: Collection[str]) -> bool:
        """Whether its provider's record is among those that the record of `domain` includes.

        Another record of the same owner counts too: providers have several. Not so the sender's own further records.
        """
        owner = organisational_domain(self.name)
        owners = {organisational_domain(one) for one in included}
        return self.include in included or (owner in owners and owner != organisational_domain(domain))

    def is_foreign_to(self, domain: str) -> bool:
        """Whether it belongs to someone else than the sender's domain."""
        return organisational_domain(self.name) != organisational_domain(domain)

    def mechanism(self, *, without_lookup: bool = False) -> str:
        """What an SPF record has to say to let it send. ADDRESS stands for one that we do not know."""
        if self.include:
            return f"include:{self.include}"
        if not self.addresses:
            return "ip4:ADDRESS"
        if without_lookup or address_of(self.name) is not None:
            return " ".join(f"ip{one.version}:{one}" for one in self.addresses)
        return f"a:{self.name}"


def sending_host(dns: Dns, host: str) -> SendingHost:
    """Look up a mail server. Raises LookupFailed."""
    name = ascii_domain(host)
    literal = address_of(name)
    found = dns.addresses(name) if literal is None else [literal]
    return SendingHost(name, tuple(address for address in found if address.is_global))
