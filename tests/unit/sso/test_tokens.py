"""Tokens of host shells: which are believed, and why the others are not."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from app.models import Role
from app.sso.tokens import (
    MAX_LENGTH,
    BadKey,
    HandOver,
    Key,
    Logout,
    Refused,
    check_signature,
    choose_key,
    key_of_pem,
    keys_of_jwks,
    open_envelope,
    read_hand_over,
    read_logout,
)
from tests.support.shell import AUDIENCE, ec_key, forged, jwks, public_pem, rsa_key, says, says_out, signed

LONG = "x" * 256


def ours(*keys: Any) -> list[Key]:
    return [key_of_pem(public_pem(key)) for key in keys or (ec_key(),)]


def read(token: str, keys: list[Key] | None = None, *, logout: bool = False) -> HandOver | Logout:
    """All that is done with a token, but for what a database knows."""
    key = choose_key(keys if keys is not None else ours(), open_envelope(token))
    if key is None:
        raise Refused("unknown key")
    claims = check_signature(token, key)
    reader = read_logout if logout else read_hand_over
    return reader(claims, audience=AUDIENCE, at=datetime.now(UTC))


def refusal(token: str, keys: list[Key] | None = None, *, logout: bool = False) -> str:
    with pytest.raises(Refused) as refused:
        read(token, keys, logout=logout)
    return refused.value.reason


@pytest.mark.parametrize("key", [ec_key(), rsa_key()], ids=["ES256", "RS256"])
def test_what_a_genuine_token_says(key: Any) -> None:
    said = read(signed(says(email=" Hanna@Shell.TEST", name="Hanna  Ek", jti="one"), key), ours(key))
    assert isinstance(said, HandOver)
    assert (said.jti, said.portal_id, said.subject) == ("one", "harbour", "hanna-7")
    assert (said.email, said.name, said.role) == ("hanna@shell.test", "Hanna Ek", Role.CLIENT_ADMIN)
    assert read(signed(says(aud=[AUDIENCE]), key), ours(key))


def around(issued: float, expires: float) -> dict[str, Any]:
    """Claims of a token that was issued and expires so many seconds from now."""
    now = time.time()
    return {"iat": now + issued, "exp": now + expires}


@pytest.mark.parametrize("times", [(-59, 1), (-63, -3), (3, 63), (0, 59.5)])
def test_a_token_is_good_for_a_minute_and_clocks_may_differ_by_seconds(times: tuple[float, float]) -> None:
    assert read(signed(says(**around(*times))))


@pytest.mark.parametrize(
    "times, reason",
    [
        ((-60, -6), "expired"),
        ((7, 60), "not yet valid"),
        ((0, 61), "lifetime"),
        ((0, 0), "lifetime"),
        ((10, 0), "lifetime"),
    ],
)
def test_a_token_is_good_for_no_longer(times: tuple[float, float], reason: str) -> None:
    assert refusal(signed(says(**around(*times)))) == reason
    assert refusal(signed(says_out(**around(*times))), logout=True) == reason


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"exp": None}, "claims: exp"),
        ({"iat": None}, "claims: iat"),
        ({"exp": "soon"}, "claims: exp"),
        ({"exp": True}, "claims: exp"),
        ({"exp": float("nan")}, "claims: exp"),
        ({"exp": float("inf")}, "claims: exp"),
        ({"iat": -(10**40), "exp": 10**40}, "claims: iat"),
        ({"nbf": 9_000_000_000}, "not yet valid"),
        ({"nbf": "soon"}, "claims: nbf"),
        ({"aud": None}, "audience"),
        ({"aud": "https://other.test"}, "audience"),
        ({"aud": f"{AUDIENCE}/"}, "audience"),
        ({"aud": [AUDIENCE, "https://other.test"]}, "audience"),
        ({"aud": {}}, "audience"),
        ({"jti": None}, "claims: jti"),
        ({"jti": ""}, "claims: jti"),
        ({"jti": LONG}, "claims: jti"),
        ({"jti": 7}, "claims: jti"),
        ({"sub": None}, "claims: sub"),
        ({"sub": "nul\0"}, "claims: sub"),
        ({"sub": "half \ud800"}, "claims: sub"),
        ({"sub": ["hanna"]}, "claims: sub"),
        ({"portal": None}, "claims: portal"),
        ({"portal": "x" * 33}, "claims: portal"),
        ({"email": None}, "claims: email"),
        ({"email": "two@a.test, three@b.test"}, "claims: email_several"),
        ({"name": None}, "claims: name"),
        ({"name": "<b>Hanna"}, "claims: name_character"),
        ({"role": None}, "claims: role"),
        ({"role": "owner"}, "claims: role"),
        ({"role": "none"}, "claims: role"),
        ({"events": {}}, "claims: events"),
    ],
    ids=str,
)
def test_what_a_token_must_say(changes: dict[str, Any], reason: str) -> None:
    assert refusal(signed(says(**changes))) == reason


def test_only_the_algorithm_of_the_key_is_taken() -> None:
    pem = public_pem(ec_key()).encode()
    assert refusal(forged({"alg": "none"}, says())) == "malformed"  # without a third part
    assert refusal(forged({"alg": "none"}, says(), b"x")) == "algorithm"
    assert refusal(forged({"alg": "HS256"}, says(), pem)) == "algorithm"
    assert refusal(forged({}, says(), b"x")) == "claims: alg"
    assert refusal(forged({"alg": ["ES256"]}, says(), b"x")) == "claims: alg"
    # Said to be of the kind that the key is of, signed with the public key as if that were a secret.
    assert refusal(forged({"alg": "ES256"}, says(), pem)) == "signature"
    assert refusal(signed(says(), rsa_key())) == "unknown key"
    assert refusal(signed(says(), ec_key("another"))) == "signature"
    assert refusal(signed(says(), b64=False, crit=["b64"])) == "malformed"


def test_a_token_that_was_changed_is_not_believed() -> None:
    header, _payload, signature = signed(says(role="staff")).split(".")
    other = signed(says(role="client_admin")).split(".")[1]
    assert refusal(f"{header}.{other}.{signature}") == "signature"
    assert refusal(f"{header}.{other}.{signature[:-4]}") == "signature"


def packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "token, reason",
    [
        ("", "empty"),
        ("x" * (MAX_LENGTH + 1), "too long"),
        ("garbage", "malformed"),
        ("a.b", "malformed"),
        ("a.b.c", "malformed"),
        ("a.b.c.d.e", "malformed"),
        ("ä.b.c", "malformed"),
        (f"{packed('[]')}.{packed('{}')}.c", "malformed"),
        (f"{packed('[' * 2000)}.{packed('{}')}.c", "malformed"),
        (f"{packed('1' * 5000)}.{packed('{}')}.c", "malformed"),
        (f"{packed(json.dumps({'alg': 'ES256'}))}.{packed('{}')}.c", "claims: iss"),
        (f"{packed(json.dumps({'alg': 'ES256', 'kid': 7}))}.{packed(json.dumps({'iss': 'x'}))}.c", "claims: kid"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_token_is_refused_before_anything_is_asked(token: str, reason: str) -> None:
    assert refusal(token) == reason


@given(st.text(max_size=200) | st.lists(st.binary(max_size=60), min_size=3, max_size=3))
def test_whatever_is_sent_is_refused_and_nothing_else(sent: str | list[bytes]) -> None:
    if isinstance(sent, list):
        sent = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in sent)
    assert refusal(sent)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=3))
def test_whatever_an_issuer_signs_is_read_or_refused(value: Any) -> None:
    for name in ("aud", "exp", "iat", "jti", "sub", "portal", "email", "name", "role", "events"):
        for logout in (False, True):
            claims = {**(says_out() if logout else says()), name: value}
            try:
                read_one = read_logout if logout else read_hand_over
                read_one(claims, audience=AUDIENCE, at=datetime.now(UTC))
            except Refused:
                pass


# The back-channel


def test_what_a_genuine_logout_says() -> None:
    everywhere = read(signed(says_out()), logout=True)
    assert isinstance(everywhere, Logout)
    assert (everywhere.subject, everywhere.portal_id, everywhere.changes_role) == ("hanna-7", None, False)
    demoted = read(signed(says_out(portal="harbour", role="staff"), typ="logout+jwt"), logout=True)
    assert isinstance(demoted, Logout)
    assert (demoted.portal_id, demoted.role, demoted.changes_role) == ("harbour", Role.STAFF, True)
    removed = read(signed(says_out(portal="harbour", role="none")), logout=True)
    assert isinstance(removed, Logout)
    assert (removed.role, removed.changes_role) == (None, True)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"events": None}, "claims: events"),
        ({"events": {}}, "claims: events"),
        ({"events": ["http://schemas.openid.net/event/backchannel-logout"]}, "claims: events"),
        ({"nonce": "x"}, "claims: nonce"),
        ({"sub": None}, "claims: sub"),
        ({"jti": None}, "claims: jti"),
        ({"role": "staff"}, "claims: role without portal"),
        ({"role": "owner", "portal": "harbour"}, "claims: role"),
        ({"portal": 7}, "claims: portal"),
        ({"aud": "https://other.test"}, "audience"),
    ],
    ids=str,
)
def test_what_a_logout_must_say(changes: dict[str, Any], reason: str) -> None:
    assert refusal(signed(says_out(**changes)), logout=True) == reason


def test_neither_kind_of_token_passes_for_the_other() -> None:
    assert refusal(signed(says()), logout=True) == "claims: events"
    both = {**says(), "events": says_out()["events"]}
    assert refusal(signed(both)) == "claims: events"


# Keys


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no key",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ec_key().as_pem(private=True).decode(),
        public_pem(ECKey.generate_key("P-384")),
    ],
    ids=["empty", "text", "broken", "private", "another curve"],
)
def test_keys_we_do_not_use(pem: str) -> None:
    with pytest.raises(BadKey):
        key_of_pem(pem)


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_a_short_rsa_key_is_not_used() -> None:
    short = RSAKey.generate_key(1024)
    with pytest.raises(BadKey):
        key_of_pem(public_pem(short))
    assert keys_of_jwks(json.dumps(jwks(short=short)).encode()) == []


def test_a_published_set_gives_what_can_sign_and_leaves_the_rest_alone() -> None:
    published = jwks(one=ec_key(), two=rsa_key())
    of_no_use = [
        None,
        {},
        {"kty": "oct", "k": "c2VjcmV0"},
        {**ec_key().as_dict(private=False), "use": "enc"},
        {**ec_key().as_dict(private=False), "alg": "ES384"},
        {**ec_key().as_dict(private=False), "kid": 7},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": ["EC"]},
    ]
    keys = keys_of_jwks(json.dumps({"keys": [*of_no_use, *published["keys"]]}).encode())
    assert [(key.id, key.algorithm) for key in keys] == [("one", "ES256"), ("two", "RS256")]
    assert not any(key.jwk.is_private for key in keys_of_jwks(json.dumps({"keys": [ec_key().as_dict()]}).encode()))
    for document in (b"", b"[]", b"{}", b'{"keys": {}}', b"\xff", b"[" * 5000):
        with pytest.raises(BadKey):
            keys_of_jwks(document)


def test_which_key_signed_is_told_by_its_id_where_there_are_several() -> None:
    published = jwks(one=ec_key(), two=ec_key("another"), three=rsa_key())
    keys = keys_of_jwks(json.dumps(published).encode())
    assert read(signed(says(), ec_key(), kid="one"), keys)
    assert read(signed(says(), ec_key("another"), kid="two"), keys)
    assert read(signed(says(), rsa_key()), keys)  # the only one of its kind
    assert refusal(signed(says(), ec_key()), keys) == "unknown key"
    assert refusal(signed(says(), ec_key(), kid="two"), keys) == "signature"
    assert refusal(signed(says(), ec_key(), kid="nine"), keys) == "unknown key"
    assert refusal(signed(says(), ec_key(), kid="three"), keys) == "unknown key"
