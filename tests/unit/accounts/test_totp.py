"""Codes of authenticator apps: those of the RFC, on clocks that differ, and none twice."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from app.accounts.security.codes import clean_code
from app.accounts.security.totp import address_of_key, matching_step, new_key

RFC_KEY = base64.b32encode(b"12345678901234567890").decode()
AT = datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)
STEP = int(AT.timestamp()) // 30


def code(seconds: float, key: str = RFC_KEY) -> str:
    return str(pyotp.TOTP(key).at(AT + timedelta(seconds=seconds)))


@pytest.mark.parametrize(
    "seconds, shown", [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_the_codes_are_those_of_rfc_6238(seconds: int, shown: str) -> None:
    assert matching_step(RFC_KEY, shown, datetime.fromtimestamp(seconds, UTC)) == seconds // 30


@pytest.mark.parametrize("seconds, step", [(-30, STEP - 1), (0, STEP), (30, STEP + 1), (-60, None), (60, None)])
def test_a_clock_may_be_half_a_minute_off(seconds: int, step: int | None) -> None:
    assert matching_step(RFC_KEY, code(seconds), AT) == step


def test_no_code_counts_that_was_used_or_is_older_than_one_that_was() -> None:
    assert matching_step(RFC_KEY, code(0), AT, after=STEP - 1) == STEP
    assert matching_step(RFC_KEY, code(0), AT, after=STEP) is None
    assert matching_step(RFC_KEY, code(-30), AT, after=STEP) is None
    assert matching_step(RFC_KEY, code(30), AT, after=STEP) == STEP + 1


@pytest.mark.parametrize("typed", ["", "0", "12345", "1234567", "ａ", "\x00", "-12345", "٠" * 6])
def test_what_is_no_code_matches_nothing(typed: str) -> None:
    assert matching_step(RFC_KEY, typed, AT) is None


@pytest.mark.parametrize(
    "typed, cleaned",
    [
        (" 081 804 ", "081804"),
        ("٠٨١٨٠٤", "081804"),
        ("０８１-８０４", "081804"),
        ("AB1D–ef2h gh3k 0000", "ab1def2hgh3k0000"),
        ("1" * 101, ""),
    ],
)
def test_a_code_is_read_as_apps_show_it_and_people_type_it(typed: str, cleaned: str) -> None:
    assert clean_code(typed) == cleaned


def test_the_app_is_told_the_service_and_the_account() -> None:
    key = new_key()
    assert len(base64.b32decode(key)) == 20
    assert new_key() != key
    told = pyotp.parse_uri(address_of_key(key, "ada@harbour.test", "Bakuun"))
    assert (told.secret, told.name, told.issuer) == (key, "ada@harbour.test", "Bakuun")
