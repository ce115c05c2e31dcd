"""The key that `make run` keeps: an older, weaker one is replaced, and goes on working as a former one."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.demo.settings import demo_settings
from config_values import key_weakness
from tests.integration.demo.test_first_run import NO_SETTINGS


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NO_SETTINGS:
        monkeypatch.setenv(name, "")


def test_a_strong_key_is_kept(tmp_path: Path) -> None:
    first = demo_settings(tmp_path)
    assert key_weakness(first.secret_key) is None
    assert demo_settings(tmp_path) == first
    assert first.secret_key_fallbacks == ()


def test_a_weak_key_is_replaced_once_and_stays_as_a_former_one(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("a short key\n")
    first = demo_settings(tmp_path)
    assert key_weakness(first.secret_key) is None
    assert first.secret_key_fallbacks == ("a short key",)
    assert demo_settings(tmp_path) == first
    for name in ("secret_key", "former_secret_key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
