"""What a domain is, without asking anyone: whose it is, whether anyone can get a mailbox there, who sends for it."""

from __future__ import annotations

from email.utils import parseaddr
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import idna
from publicsuffixlist import PublicSuffixList

_MAILBOX_PROVIDERS = {
    "gmail.com": {"gmail.com", "googlemail.com"},
    "outlook.com": {"outlook", "hotmail", "live.com", "live.co.uk", "live.de", "live.fr", "live.nl", "msn.com"},
    "yahoo.com": {"yahoo", "ymail.com", "rocketmail.com"},
    "aol.com": {"aol"},
    "gmx.net": {"gmx"},
    "web.de": {"web.de"},
    "icloud.com": {"icloud.com", "me.com", "mac.com"},
    "proton.me": {"proton.me", "protonmail.com", "protonmail.ch", "pm.me"},
    "qq.com": {"qq.com", "foxmail.com"},
    "163.com": {"163.com", "126.com", "yeah.net"},
    "mail.ru": {"mail.ru", "bk.ru", "inbox.ru", "list.ru", "internet.ru"},
    "yandex.ru": {"yandex", "ya.ru"},
    "t-online.de": {"t-online.de", "magenta.de"},
    "freenet.de": {"freenet.de"},
    "orange.fr": {"orange.fr", "wanadoo.fr"},
    "free.fr": {"free.fr"},
    "laposte.net": {"laposte.net"},
    "libero.it": {"libero.it"},
    "zoho.com": {"zohomail.com"},
    "fastmail.com": {"fastmail.com", "fastmail.fm"},
    "mail.com": {"mail.com"},
    "seznam.cz": {"seznam.cz"},
    "naver.com": {"naver.com"},
}
"""Providers of mailboxes for everyone, each with its domains; a word without a dot stands for it with every suffix."""

_OTHER_SERVERS = {
    "gmail.com": {"google.com"},
    "outlook.com": {"office365.com", "office.com"},
    "yahoo.com": {"yahoodns.net"},
    "icloud.com": {"apple.com"},
    "proton.me": {"protonmail.ch"},
}
"""Organisational domains, beside a provider's own, in which its mail servers are."""


@cache
def _public_suffixes() -> PublicSuffixList:
    """Mozilla's list, as it came with the library. Reading it takes tens of milliseconds; nothing is downloaded."""
    return PublicSuffixList()


def organisational_domain(domain: str) -> str:
    """The domain under which all names belong to one owner, such as example.co.uk for mail.example.co.uk.

    In: a domain in any case, in Unicode or punycode. Out: in lower case and punycode. A domain that is itself a public
    suffix, has one label, or is an IP address comes back whole. By the public suffix list, as RFC 7489, 3.2 has it for
    the alignment of SPF and DKIM.
    """
    plain = ascii_domain(domain)
    if address_of(plain) is not None:
        return plain
    found: str | None = _public_suffixes().privatesuffix(plain)
    return found or plain


def ascii_domain(domain: str) -> str:
    """A domain in lower case and punycode, without a dot at its end. What cannot be written so stays as it is."""
    plain = domain.strip().rstrip(".").lower()
    try:
        return plain if plain.isascii() else idna.encode(plain, uts46=True).decode()
    except idna.IDNAError:
        return plain


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that stands in a host's place, or None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def domain_of(sender: str) -> str:
    """The domain of a sender, such as 'Harbour Tours <tours@example.com>', in lower case and punycode."""
    return ascii_domain(parseaddr(sender)[1].rpartition("@")[2])


def mailbox_provider(domain: str) -> str | None:
    """The provider of a domain at which everyone can get a mailbox, as its main domain, or None for any other."""
    plain = ascii_domain(domain)
    is_registered = plain == organisational_domain(plain)
    names = {plain, plain.partition(".")[0]} if is_registered else {plain}
    return next((provider for provider, its in _MAILBOX_PROVIDERS.items() if names & its), None)


def is_server_of(provider: str, host: str) -> bool:
    """Whether a mail server is one of a mailbox provider's own."""
    owner = organisational_domain(host)
    return owner in _OTHER_SERVERS.get(provider, ()) or mailbox_provider(owner) == provider
