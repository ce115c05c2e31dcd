"""What a mail server may do wrong, each with the name by which a test asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["banner", "ehlo", "mail", "rcpt", "data", "body", "end", "rset", "quit", "idle"]
Then = Literal["go on", "close", "hang", "drip"]

LATE_SECONDS = 0.4
"""Within the patience of our processes; three times as much is without, and after the whole mail still within."""


@dataclass(frozen=True)
class Behaviour:
    """What happens at a phase: say something or nothing, after a while, and then go on or not."""

    phase: Phase
    say: str | None
    then: Then = "go on"
    after: float = 0.0
    first: str | None = None
    """A reply at RCPT TO that leads to the phase in question."""


def _says(phase: Phase, *codes: int) -> dict[str, Behaviour]:
    return {
        f"{phase}-{code}": Behaviour(phase, f"{code} as you wish", "close" if code == 421 else "go on")
        for code in codes
    }


def _goes(phase: Phase, *ways: Then) -> dict[str, Behaviour]:
    return {f"{phase}-{way}": Behaviour(phase, None, way) for way in ways}


OF_CONNECTIONS: dict[str, Behaviour] = {
    **_says("banner", 421, 554),
    **_goes("banner", "close", "hang", "drip"),
    "banner-late": Behaviour("banner", "220 sorry", after=LATE_SECONDS),
    "banner-too-late": Behaviour("banner", "220 sorry", after=3 * LATE_SECONDS),
    "banner-garbage": Behaviour("banner", "SSH-2.0-OpenSSH_9.2"),
    "banner-long": Behaviour("banner", "220-hello\r\n220-and welcome\r\n220 to us"),
    **_says("ehlo", 421, 502, 554),
    **_goes("ehlo", "close", "hang", "drip"),
    **_says("mail", 421, 450, 550, 552),
    **_goes("mail", "close", "hang", "drip"),
}
OF_RECIPIENTS: dict[str, Behaviour] = {
    **_says("rcpt", 421, 450, 451, 452, 530, 550, 551, 553),
    **_goes("rcpt", "close", "hang", "drip"),
    "rcpt-wrong": Behaviour("rcpt", "354 what?"),
    **_says("data", 421, 450, 554),
    **_goes("data", "close", "hang", "drip"),
    "data-wrong": Behaviour("data", "250 what?"),
    "body-close": Behaviour("body", None, "close"),
    "body-421": Behaviour("body", "421 out of time", "close"),
    **_says("end", 421, 451, 452, 550, 552, 554),
    **_goes("end", "close", "hang", "drip"),
    "end-wrong": Behaviour("end", "354 what?"),
    "end-garbage": Behaviour("end", "thank you very much"),
    "end-late": Behaviour("end", "250 at last", after=LATE_SECONDS),
    "end-later": Behaviour("end", "250 at long last", after=3 * LATE_SECONDS),
    "end-too-late": Behaviour("end", "250 too late", after=10 * LATE_SECONDS),
    "end-250-close": Behaviour("end", "250 taken, and bye", "close"),
    "end-long": Behaviour("end", "250-taken\r\n250-and filed\r\n250 for good"),
    "rset-500": Behaviour("rset", "500 never", first="450 not now"),
    "rset-close": Behaviour("rset", None, "close", first="450 not now"),
    "rset-hang": Behaviour("rset", None, "hang", first="550 never"),
    "quit-hang": Behaviour("quit", None, "hang"),
    "quit-close": Behaviour("quit", None, "close"),
    "idle-close": Behaviour("idle", None, "close", after=0.05),
    "idle-421": Behaviour("idle", "421 idle for too long", "close", after=0.05),
}
