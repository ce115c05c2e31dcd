"""Tokens of links: one spelling each, good for one kind of link, alive as long as a key of ours made them."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import process_time
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.links import LinkClaim, LinkKind, cut_links, cut_token, make_token, make_url, read_token

CLAIM = LinkClaim("harbour.0190f6e0c0de70008000000000000001", 3)
KEY, OTHER_KEY = "a key for tests and nothing else", "another key that was never ours"


@contextmanager
def keys(key: str, *fallbacks: str) -> Iterator[None]:
    app = Flask(__name__)
    app.config.update(SECRET_KEY=key, SECRET_KEY_FALLBACKS=list(fallbacks), PUBLIC_BASE_URL="https://clients.test")
    with app.app_context():
        yield


@pytest.fixture(autouse=True)
def _our_key() -> Iterator[None]:
    with keys(KEY):
        yield


@pytest.fixture
def token() -> str:
    return make_token(LinkKind.INVITATION, CLAIM)


def read(token: str, kind: LinkKind = LinkKind.INVITATION) -> LinkClaim | None:
    return read_token(kind, token)


@pytest.mark.parametrize("kind", LinkKind)
@pytest.mark.parametrize("claim", [CLAIM, LinkClaim("1", 0), LinkClaim("a-b_c.d", 10**9)])
def test_a_token_says_what_it_was_made_of(kind: LinkKind, claim: LinkClaim) -> None:
    token = make_token(kind, claim)
    assert read(token, kind) == claim
    assert make_token(kind, claim) == token
    assert make_url(kind, claim) == f"https://clients.test/{kind}/{token}"
    # It needs no escaping, and no mail program breaks it or takes its end for punctuation.
    assert set(token) <= set(string.ascii_letters + string.digits + "-_.")
    assert token[-1].isalnum()


def test_a_token_cannot_be_guessed(token: str) -> None:
    signature = token.rpartition(".")[2]
    assert len(signature) * 6 >= 256
    others = {make_token(LinkKind.INVITATION, LinkClaim(CLAIM.subject, n)).rpartition(".")[2] for n in range(1000)}
    assert len(others) == 1000


def test_each_token_has_one_spelling(token: str) -> None:
    alphabet = string.ascii_letters + string.digits + "-_.=+/ %~\0é"
    changed = {token[:i] + c + token[i + 1 :] for i in range(len(token)) for c in alphabet}
    added = {token[:i] + c + token[i:] for i in range(len(token) + 1) for c in alphabet}
    taken = {token[:i] + token[i + 1 :] for i in range(len(token))}
    cut = {token[:i] for i in range(len(token))} | {token[i:] for i in range(1, len(token))}
    swapped = {token[:i] + token[i + 1] + token[i] + token[i + 2 :] for i in range(len(token) - 1)}
    dressed = {token.upper(), token.lower(), token.swapcase(), f"{token}\n", f" {token}", f"{token}=", token * 2}
    everything = changed | added | taken | cut | swapped | dressed
    assert token in everything  # a character changed into itself: so the comparison below means something
    assert [one for one in everything if read(one) is not None] == [token]


def test_a_thousand_mutations_are_not_accepted(token: str) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    for _ in range(1000):
        letters = list(token)
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(letters))
            letters[at : at + dice.randint(0, 3)] = dice.choices(token, k=dice.randint(1, 3))
        mutated = "".join(letters)
        assert (read(mutated) is not None) == (mutated == token), f"seed {seed}: {mutated}"


@given(st.text(max_size=300))
@example("")
@example(".")
@example("..")
@example("." * 300)
@example("a.1.")
@example("a.-1.x")
@example("a.٣.x")
@example("\ud800.1.x")
@settings(max_examples=200, deadline=None)
def test_no_text_is_accepted_and_none_breaks_it(text: str) -> None:
    with keys(KEY):
        assert [read(text, kind) for kind in LinkKind] == [None] * len(LinkKind)


def test_a_token_opens_only_links_of_its_kind() -> None:
    for made in LinkKind:
        token = make_token(made, CLAIM)
        assert [kind for kind in LinkKind if read(token, kind)] == [made]


def test_another_subject_or_generation_cannot_be_put_into_a_token(token: str) -> None:
    subject, _generation, signature = token.rsplit(".", 2)
    for forged in (f"{subject}.4.{signature}", f"{subject}.03.{signature}", f"alpine{subject[7:]}.3.{signature}"):
        assert read(forged) is None
    # Nor can a dot be moved from one part to the other.
    left = make_token(LinkKind.INVITATION, LinkClaim("a.1", 2))
    assert read(left) == LinkClaim("a.1", 2)
    assert make_token(LinkKind.INVITATION, LinkClaim("a", 12)) != left


def test_a_change_of_keys_keeps_old_links_alive_for_as_long_as_the_old_key_is_named(token: str) -> None:
    with keys(OTHER_KEY, "one more key between", KEY):
        assert read(token) == CLAIM
        newer = make_token(LinkKind.INVITATION, CLAIM)
        assert newer != token
        assert read(newer) == CLAIM
    with keys(OTHER_KEY):
        assert read(token) is None
        assert read(newer) == CLAIM
    assert read(newer) is None


TOKENS = {
    LinkKind.INVITATION: f"harbour.{'0123456789abcdef' * 2}.12.{'aB3-xYz_Qw' * 4}E_8",
    LinkKind.COLLEAGUE: f"harbour.{'0123456789abcdef' * 2}.3.{'aB3-xYz_Qw' * 4}E_8",
    LinkKind.VERIFICATION: f"42.1.{'aB3-xYz_Qw' * 4}E_8",
    LinkKind.PASSWORD_RESET: f"7.10.{'aB3-xYz_Qw' * 4}E_8",
    LinkKind.EMAIL_CHANGE: f"7.2.{'aB3-xYz_Qw' * 4}E_8",
    LinkKind.NEW_EMAIL: f"7.2.{'aB3-xYz_Qw' * 4}E_8",
    LinkKind.STOP_NOTICES: f"harbour-2_x.7.0.{'aB3-xYz_Qw' * 4}E_8",
    LinkKind.STOP_REMINDERS: f"harbour.{'0123456789abcdef' * 2}.0.{'aB3-xYz_Qw' * 4}E_8",
}


@pytest.mark.parametrize("kind", list(LinkKind))
@pytest.mark.parametrize(
    "spelled",
    [
        str,
        str.upper,
        " ".join,
        lambda url: quote(url, safe=""),
        lambda url: quote(quote(url, safe=""), safe=""),
        lambda url: f"{url[:-30]}=\r\n{url[-30:]}",
        lambda url: "".join(f"&#{ord(char)};" for char in url),
        lambda url: "".join(f"&#{ord(char)}" for char in url),
        lambda url: "".join(f"\\u{{{ord(char):x}}}" for char in url),
        lambda url: "".join(f"\\{ord(char):03o}" for char in url),
        lambda url: " ".join(f"0x{ord(char):02x}" for char in url),
        lambda url: url.replace("/", "\\/"),
        lambda url: url.rpartition("/")[2],
    ],
    ids=[
        "as it is",
        "capitals",
        "blanks",
        "quoted",
        "quoted twice",
        "broken",
        "entities",
        "no end",
        "braces",
        "octal",
        "numbers",
        "JSON",
        "alone",
    ],
)
def test_a_link_is_cut_out_of_any_text_without_knowing_it(kind: LinkKind, spelled: Callable[[str], str]) -> None:
    link = spelled(f"https://a.test/x/{kind}/{TOKENS[kind]}")
    told = cut_links(f"450 4.7.1 Not {link} today, 1.2.3 and 250 mails/hour are enough")
    assert told.startswith("450 4.7.1 Not ")
    assert told.endswith("‹cut› today, 1.2.3 and 250 mails/hour are enough")


def test_what_is_no_link_is_left_as_it_was() -> None:
    for text in (
        "550 5.7.1 Too many invitations/hour: 1.2.3.4 is listed, see https://dnsbl.test/?ip=1.2.3.4&x=%41",
        "250 2.0.0 Ok: queued as 4XyZ12abCD (0123456789abcdef0123456789abcdef.1)",
        "Grüße aus Köln = 100 %",
    ):
        assert cut_links(text) == cut_token(text, TOKENS[LinkKind.INVITATION]) == text


def test_a_long_text_costs_little() -> None:
    began = process_time()
    for text in (
        "%25" * 20_000,
        "&amp;" * 12_000,
        "1.1." * 16_000,
        "invitations/" * 5_000,
        "a" * 64_000,
        "\\134" * 16_000,
    ):
        cut_links(text)
        cut_token(text, TOKENS[LinkKind.INVITATION])
    assert process_time() - began < 10


def test_a_megabyte_of_half_escapes_costs_little() -> None:
    text = "&#97\\u{61}\\1410x61, 0x61 &#x61&#\\u{\\x{0000invitations/" * 20_000
    began = process_time()
    cut_links(text)
    cut_token(text, TOKENS[LinkKind.INVITATION])
    assert process_time() - began < 20
