"""Checking a password costs the same whether there is an account or not."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher, extract_parameters

from app.identity import passwords


def test_where_there_is_no_account_a_hash_is_checked_that_costs_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            checked.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "_hasher", Watched())
    for its_hash in (None, passwords.NO_PASSWORD, passwords.hash_password("quite another sentence")):
        assert not passwords.is_password_of(its_hash, "seven plain words for a test")
    nobodys, without_password, somebodys = map(extract_parameters, checked)
    assert nobodys == without_password == somebodys
