"""The sender check, against a DNS server on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import pytest

from app.deliverability.domains import domain_of, organisational_domain
from app.deliverability.findings import Finding
from app.deliverability.sender_check import SenderCheck, check_sender
from app.net.dns import Dns
from tests.support.dns import DnsServer

DOMAIN = "harbour.test"
SENDER = f"Harbour Tours <tours@{DOMAIN}>"
HOST = "mail.harbour.test"
ADDRESS = "203.0.114.7"
"""A public address, as those for documentation are not."""


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer({HOST: {"A": [ADDRESS]}}) as server:
        yield server


def check(
    dns: DnsServer, host: str = HOST, selector: str | None = None, sender: str = SENDER, seconds: float = 5
) -> SenderCheck:
    return check_sender(Dns([dns.address], seconds=seconds), sender, host, selector)


def finding(dns: DnsServer, record: str, **asked: str) -> Finding:
    (found,) = [one for one in check(dns, **asked).findings if one.record == record]
    return found


def verdict(dns: DnsServer, record: str, **asked: str) -> tuple[str, str]:
    found = finding(dns, record, **asked)
    return found.status.value, found.proposal


def spf(dns: DnsServer, *records: str, host: str = HOST, **others: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """What is said of these records of the domain, and proposed. `others`: further names, with `__` for dots."""
    dns.zone[DOMAIN] = {"TXT": ["a-service-verification=1", *records]}
    dns.zone.update({name.replace("__", "."): its for name, its in others.items()})
    return verdict(dns, "SPF", host=host)


class TestSpf:
    @pytest.mark.parametrize(
        "record",
        [
            "v=spf1 a:mail.harbour.test -all",
            "v=spf1 ip4:203.0.114.0/24 ~all",
            "V=SPF1 IP4:203.0.114.7 ?ALL",
            "v=spf1 mx -all",
            "v=spf1 include:one.test -all",
            "v=spf1 redirect=one.test",
            "v=spf1 a:other.test/24 -all",
            "v=spf1 -ip4:203.0.114.8 ?ip6:2001:db8::/32 +a:mail.harbour.test exp=why.test -all",
        ],
    )
    def test_is_good_where_it_covers_the_server(self, dns: DnsServer, record: str) -> None:
        dns.zone["one.test"] = {"TXT": ["v=spf1 include:two.test ?all"]}
        dns.zone["two.test"] = {"TXT": ["v=spf1 ip4:203.0.114.7 -all"]}
        dns.zone["other.test"] = {"A": ["203.0.114.200"]}
        dns.zone[DOMAIN] = {"TXT": [record], "MX": ["10 mail.harbour.test."]}
        assert verdict(dns, "SPF") == ("good", "")

    @pytest.mark.parametrize(
        "host, include, proposed",
        [
            ("smtp.gmail.com", "_spf.google.com", "include:_spf.google.com"),
            ("smtp.office365.com", "spf.protection.outlook.com", "include:spf.protection.outlook.com"),
            ("smtp.relay.test", "_spf.relay.test", None),
        ],
    )
    def test_is_good_where_it_includes_the_provider_of_the_server(
        self, dns: DnsServer, host: str, include: str, proposed: str | None
    ) -> None:
        dns.zone[include] = {"TXT": ["v=spf1 ip4:203.0.114.99 ~all"]}
        dns.zone[host] = {"A": [ADDRESS]}
        assert spf(dns, f"v=spf1 include:{include} ~all", host=host) == ("good", "")
        expected = f"v=spf1 mx {proposed or f'a:{host}'} ~all"
        assert spf(dns, "v=spf1 mx ~all", host=host) == ("bad", expected)

    def test_of_the_senders_own_owner_counts_only_by_its_addresses(self, dns: DnsServer) -> None:
        dns.zone["_spf.harbour.test"] = {"TXT": ["v=spf1 ip4:203.0.114.99 ~all"]}
        record = "v=spf1 include:_spf.harbour.test ~all"
        assert spf(dns, record) == ("bad", "v=spf1 include:_spf.harbour.test a:mail.harbour.test ~all")

    def test_extends_the_record_that_is_there(self, dns: DnsServer) -> None:
        dns.zone["a.test"] = {"TXT": ["v=spf1 ip4:203.0.114.1 -all"]}
        for record, extended in [
            ("v=spf1 include:a.test ~all", "v=spf1 include:a.test a:mail.harbour.test ~all"),
            ("v=spf1 include:a.test  -all", "v=spf1 include:a.test a:mail.harbour.test -all"),
            ("v=spf1 redirect=a.test", "v=spf1 a:mail.harbour.test redirect=a.test"),
            ("v=spf1 ip4:203.0.114.1", "v=spf1 ip4:203.0.114.1 a:mail.harbour.test"),
            ("v=spf1 -all", "v=spf1 a:mail.harbour.test -all"),
        ]:
            assert spf(dns, record) == ("bad", extended)
        assert spf(dns, "v=spf1 mx ~all", host=ADDRESS) == ("bad", f"v=spf1 mx ip4:{ADDRESS} ~all")

    def test_is_proposed_where_there_is_none(self, dns: DnsServer) -> None:
        assert spf(dns) == ("bad", "v=spf1 a:mail.harbour.test ~all")

    def test_is_proposed_once_where_there_are_two(self, dns: DnsServer) -> None:
        two = ["v=spf1 include:a.test mx -all", "v=spf1 mx a:mail.harbour.test ~all"]
        assert spf(dns, *two) == ("bad", "v=spf1 include:a.test mx a:mail.harbour.test ~all")

    def test_may_need_ten_lookups_and_no_more(self, dns: DnsServer) -> None:
        for number in range(10):
            dns.zone[f"h{number}.test"] = {"A": ["203.0.114.1"]}
        nine = " ".join(f"a:h{number}.test" for number in range(9))
        assert spf(dns, f"v=spf1 {nine} a:mail.harbour.test -all")[0] == "good"
        assert spf(dns, f"v=spf1 {nine} a:h9.test a:mail.harbour.test -all") == ("warning", "")
        # One more name would break it, an address does not.
        ten = f"v=spf1 {nine} a:h9.test"
        assert spf(dns, f"{ten} -all") == ("bad", f"{ten} ip4:{ADDRESS} -all")

    def test_that_includes_itself_is_read_to_an_end(self, dns: DnsServer) -> None:
        dns.zone["loop.test"] = {"TXT": ["v=spf1 include:loop.test include:loop.test -all"]}
        assert spf(dns, "v=spf1 include:loop.test -all") == ("warning", "")
        assert len(dns.asked) < 60

    @pytest.mark.parametrize("part", ["exists:%{i}.spf.test", "include:%{d}.spf.test", "ptr", "include:silent.test"])
    def test_is_not_judged_where_it_depends_on_the_mail_or_cannot_be_read(self, dns: DnsServer, part: str) -> None:
        dns.failing.add("silent.test")
        assert spf(dns, f"v=spf1 {part} -all") == ("unknown", "")
        assert spf(dns, f"v=spf1 {part} a:mail.harbour.test -all") == ("good", "")

    @pytest.mark.parametrize("part", ["ipv4:203.0.114.7", "ip4:203.0.114.7/33", "include:no.test", "mx/200", "all:x"])
    def test_with_an_error_is_bad_and_loses_that_part(self, dns: DnsServer, part: str) -> None:
        assert spf(dns, f"v=spf1 mx {part} -all") == ("bad", "v=spf1 mx a:mail.harbour.test -all")
        assert part in finding(dns, "SPF").sentence

    def test_that_lets_everyone_send_is_bad(self, dns: DnsServer) -> None:
        assert spf(dns, "v=spf1 a:mail.harbour.test +all") == ("bad", "v=spf1 a:mail.harbour.test ~all")
        assert spf(dns, "v=spf1 mx all") == ("bad", "v=spf1 mx a:mail.harbour.test ~all")

    def test_that_covers_one_of_two_addresses_is_a_warning(self, dns: DnsServer) -> None:
        dns.zone[HOST] = {"A": [ADDRESS], "AAAA": ["2606:4700::1"]}
        assert spf(dns, f"v=spf1 ip4:{ADDRESS} -all") == (
            "warning",
            f"v=spf1 ip4:{ADDRESS} a:mail.harbour.test -all",
        )

    def test_of_a_server_inside_a_network_is_not_judged(self, dns: DnsServer) -> None:
        dns.zone["relay.inside.test"] = {"A": ["10.0.0.7"]}
        for host in ("relay.inside.test", "localhost", "10.0.0.7"):
            assert spf(dns, "v=spf1 mx -all", host=host) == ("unknown", "")
            assert spf(dns, host=host) == ("bad", "v=spf1 ip4:ADDRESS ~all")

    def test_is_that_of_the_envelope_sender(self, dns: DnsServer) -> None:
        dns.zone["bounces.harbour.test"] = {"TXT": ["v=spf1 a:mail.harbour.test -all"]}
        found = check_sender(Dns([dns.address]), SENDER, HOST, None, "b+1@bounces.harbour.test").findings[0]
        assert (found.record, found.status.value, found.name) == ("SPF", "good", "bounces.harbour.test")

    def test_is_shown_short_and_without_what_could_deceive(self, dns: DnsServer) -> None:
        spf(dns, "v=spf1 \x07\x1b[31m <b>\u202e" + "x" * 3000)
        (shown,) = finding(dns, "SPF").found
        assert len(shown) <= 401
        assert shown.isascii() is False  # only because of the ellipsis
        assert shown[:-1].isascii()
        assert shown.isprintable()
        assert finding(dns, "SPF").proposal == ""


class TestDkim:
    NAME = f"s1._domainkey.{DOMAIN}"

    def test_is_not_judged_without_a_selector(self, dns: DnsServer) -> None:
        assert verdict(dns, "DKIM") == ("unknown", "")

    @pytest.mark.parametrize(
        "record, status",
        [
            ("v=DKIM1; k=rsa; p=MIGfMA0GCSq/+=", "good"),
            ("p=MIGfMA0G", "good"),
            ("v=DKIM1; k=rsa; p=" + "M" * 400, "good"),
            ("v=DKIM1; k=rsa; p=", "bad"),
            ("v=DKIM1; k=rsa", "bad"),
            ("v=spf1 -all", "bad"),
        ],
    )
    def test_is_good_with_a_key(self, dns: DnsServer, record: str, status: str) -> None:
        dns.zone[self.NAME] = {"TXT": [record]}
        assert verdict(dns, "DKIM", selector="s1")[0] == status

    def test_says_when_the_key_was_revoked_or_is_missing(self, dns: DnsServer) -> None:
        dns.zone[self.NAME] = {"TXT": ["v=DKIM1; p="]}
        assert "revoked" in finding(dns, "DKIM", selector="s1").sentence
        missing = finding(dns, "DKIM", selector="s2")
        assert (missing.status.value, missing.name) == ("bad", f"s2._domainkey.{DOMAIN}")


class TestDmarc:
    def test_is_proposed_where_there_is_none(self, dns: DnsServer) -> None:
        dns.zone[f"_dmarc.{DOMAIN}"] = {"TXT": ["v=spf1 -all"]}  # a wildcard's answer
        assert verdict(dns, "DMARC") == ("bad", "v=DMARC1; p=none; rua=mailto:postmaster@harbour.test")

    @pytest.mark.parametrize(
        "record, status, proposal",
        [
            ("v=DMARC1; p=none", "good", ""),
            ("v = DMARC1;p=none;rua=mailto:d@harbour.test", "good", ""),
            ("v=DMARC1; rua=mailto:d@x.test", "bad", "v=DMARC1; p=none; rua=mailto:d@x.test"),
            ("v=DMARC1; p=maybe; pct=5", "bad", "v=DMARC1; p=none; pct=5"),
            ("v=DMARC1; p=reject", "warning", ""),
        ],
    )
    def test_is_kept_if_it_is_valid(self, dns: DnsServer, record: str, status: str, proposal: str) -> None:
        dns.zone[f"_dmarc.{DOMAIN}"] = {"TXT": [record]}
        assert verdict(dns, "DMARC") == (status, proposal)

    def test_that_rejects_is_good_where_spf_or_dkim_is(self, dns: DnsServer) -> None:
        dns.zone[f"_dmarc.{DOMAIN}"] = {"TXT": ["v=DMARC1; p=reject"]}
        dns.zone[f"s1._domainkey.{DOMAIN}"] = {"TXT": ["p=MIGf"]}
        assert verdict(dns, "DMARC", selector="s1")[0] == "good"

    def test_comes_from_the_organisational_domain(self, dns: DnsServer) -> None:
        dns.zone["_dmarc.harbour.co.uk"] = {"TXT": ["v=DMARC1; p=reject; sp=whatever; pct=5"]}
        found = finding(dns, "DMARC", sender="a@mail.harbour.co.uk")
        assert (found.status.value, found.name) == ("bad", "_dmarc.harbour.co.uk")
        assert found.proposal == "v=DMARC1; p=reject; pct=5"
        dns.zone["_dmarc.harbour.co.uk"] = {"TXT": ["v=DMARC1; p=none; sp=reject"]}
        assert verdict(dns, "DMARC", sender="a@mail.harbour.co.uk") == ("warning", "")
        dns.zone["_dmarc.harbour.co.uk"] = {"TXT": ["v=DMARC1; p=none"]}
        assert verdict(dns, "DMARC", sender="a@mail.harbour.co.uk") == ("good", "")

    def test_twice_is_none(self, dns: DnsServer) -> None:
        dns.zone[f"_dmarc.{DOMAIN}"] = {"TXT": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}
        assert verdict(dns, "DMARC")[0] == "bad"


class TestMx:
    @pytest.mark.parametrize(
        "records, status, proposal",
        [
            ({"MX": ["20 b.test.", "10 a.test."]}, "good", ""),
            ({"MX": ["0 ."]}, "bad", "10 mail.harbour.test."),
            ({"A": [ADDRESS]}, "warning", "10 mail.harbour.test."),
            ({}, "bad", "10 mail.harbour.test."),
        ],
    )
    def test_is_needed_for_replies_and_bounces(
        self, dns: DnsServer, records: dict[str, list[str]], status: str, proposal: str
    ) -> None:
        dns.zone[DOMAIN] = records
        assert verdict(dns, "MX") == (status, proposal)

    def test_shows_the_preferred_server_first(self, dns: DnsServer) -> None:
        dns.zone[DOMAIN] = {"MX": ["20 b.test.", "10 a.test."]}
        assert finding(dns, "MX").found == ("10 a.test", "20 b.test")


class TestTheDomain:
    @pytest.mark.parametrize("domain", ["gmail.com", "GoogleMail.com", "yahoo.co.uk", "gmx.de", "web.de", "qq.com"])
    def test_of_a_mailbox_provider_gets_one_sentence(self, dns: DnsServer, domain: str) -> None:
        found = check(dns, sender=f"someone@{domain}")
        assert found.findings == ()
        assert found.summary is not None
        assert found.summary.status.value == "bad"
        assert dns.asked == []

    @pytest.mark.parametrize(
        "domain, host",
        [("gmail.com", "smtp.gmail.com"), ("hotmail.fr", "smtp.office365.com"), ("gmx.de", "mail.gmx.net")],
    )
    def test_of_a_mailbox_provider_is_good_through_its_own_server(self, dns: DnsServer, domain: str, host: str) -> None:
        found = check(dns, sender=f"someone@{domain}", host=host)
        assert found.summary is not None
        assert found.summary.status.value == "good"

    def test_that_is_none_of_the_internet_is_not_looked_up(self, dns: DnsServer) -> None:
        assert check(dns, sender="no-reply@localhost").summary is not None
        assert dns.asked == []

    def test_in_another_script_is_asked_for_in_punycode(self, dns: DnsServer) -> None:
        assert domain_of("Café <a@straße.de>") == "xn--strae-oqa.de"
        assert check(dns, sender="a@straße.de").domain == "xn--strae-oqa.de"
        assert ("xn--strae-oqa.de", "TXT") in dns.asked

    @pytest.mark.parametrize(
        "domain, owner",
        [
            ("mail.example.co.uk", "example.co.uk"),
            ("Example.COM.", "example.com"),
            ("a.b.straße.de", "xn--strae-oqa.de"),
            ("localhost", "localhost"),
            ("co.uk", "co.uk"),
            ("10.0.0.1", "10.0.0.1"),
        ],
    )
    def test_belongs_to_an_organisation(self, domain: str, owner: str) -> None:
        assert organisational_domain(domain) == owner


class TestWithoutDns:
    def test_nothing_is_blamed_and_it_takes_a_bounded_time(self, dns: DnsServer) -> None:
        dns.silent.add("*")
        start = time.monotonic()
        found = check(dns, selector="s1", seconds=1)
        assert time.monotonic() - start < 2
        assert [(one.record, one.status.value) for one in found.findings] == [
            (record, "unknown") for record in ("SPF", "DKIM", "DMARC", "MX")
        ]
        assert all(one.proposal == "" for one in found.findings)

    def test_what_is_answered_is_judged_all_the_same(self, dns: DnsServer) -> None:
        dns.failing.add(DOMAIN)
        dns.zone[f"_dmarc.{DOMAIN}"] = {"TXT": ["v=DMARC1; p=none"]}
        statuses = {one.record: one.status.value for one in check(dns).findings}
        assert statuses == {"SPF": "unknown", "DKIM": "unknown", "DMARC": "good", "MX": "unknown"}
