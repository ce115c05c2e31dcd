"""What a User-Agent header is taken for."""

from __future__ import annotations

import random

import pytest

from app.core.user_agents import _BROWSERS, _SYSTEMS, Device, read_device
from app.models import LoginSession

MOZILLA = "Mozilla/5.0"
MAC = "(Macintosh; Intel Mac OS X 10_15_7)"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    "header, browser, system",
    [
        (f"{MOZILLA} (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox", "Windows"),
        (f"{MOZILLA} (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/141.0.0.0 Safari/537.36", "Chrome", "Windows"),
        (
            f"{MOZILLA} (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
            "Edge",
            "Windows",
        ),
        (f"{MOZILLA} {MAC} {WEBKIT} Chrome/141.0.0.0 Safari/537.36 OPR/127.0.0.0", "Opera", "macOS"),
        (f"{MOZILLA} {MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15", "Safari", "macOS"),
        (
            f"{MOZILLA} (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
            " Version/26.0 Mobile/15E148 Safari/604.1",
            "Safari",
            "iPhone",
        ),
        (
            f"{MOZILLA} (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/143.0"
            " Mobile/15E148 Safari/605.1.15",
            "Firefox",
            "iPad",
        ),
        (
            f"{MOZILLA} (Linux; Android 10; K) {WEBKIT} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
            "Samsung Internet",
            "Android",
        ),
        (f"{MOZILLA} (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/141.0.0.0 Safari/537.36", "Chrome", "ChromeOS"),
        (f"{MOZILLA} (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "Linux"),
        ("curl/8.14.1", None, None),
        ("", None, None),
        ("x" * 10_000 + " Firefox/1", None, None),
        ("<script>alert(1)</script>\r\nWindows\0", None, "Windows"),
    ],
)
def test_people_recognise_their_browser(header: str, browser: str | None, system: str | None) -> None:
    assert read_device(header) == Device(browser, system)


def test_whatever_comes_only_names_of_ours_are_kept() -> None:
    names = {name for _mark, name in (*_BROWSERS, *_SYSTEMS)} | {None}
    assert all(len(name) <= LoginSession.browser.type.length for name in names if name)
    chance = random.Random(7)
    for _ in range(500):
        header = bytes(chance.randrange(256) for _ in range(200)).decode("latin-1")
        device = read_device(header)
        assert {device.browser, device.system} <= names
