"""Real reports, changed at random: never an exception, and never a row that they are not about.

How many are tried of each can be set: BOUNCE_FUZZ_EXAMPLES.
"""

from __future__ import annotations

import os
import re
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.bounces.report import Action, read_report
from app.bounces.service import Outcome, ingest
from tests.conftest import HARBOUR, Outbox
from tests.integration.bounces.conftest import INVITEE
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser
from tests.support.reports import SAMPLES, complaint, sample
from tests.support.smtp import MailServer

EXAMPLES = int(os.environ.get("BOUNCE_FUZZ_EXAMPLES", "50"))
BYTES = st.binary(max_size=40)
PIECES = st.sampled_from(
    [b"\n", b"\n\n", b"\r", b"--", b"Action: delayed", b"Status: 2.0.0", b"\xff", b"<>", b";", b"+"]
)


@st.composite
def mutated(draw: st.DrawFn, original: bytes) -> bytes:
    """A message with a few pieces cut out, put in, doubled or moved."""
    content = original
    for _time in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, len(content)))
        end = min(len(content), begin + draw(st.integers(0, 300)))
        piece, put = content[begin:end], draw(st.one_of(BYTES, PIECES))
        content = draw(
            st.sampled_from(
                [
                    content[:begin] + content[end:],
                    content[:begin] + put + content[begin:],
                    content[:end] + piece + content[end:],
                    content[:begin] + piece.swapcase() + content[end:],
                    content[end:] + content[:begin],
                ]
            )
        )
    return content


ORIGINALS = {
    **{name: sample(name, "bounces+{}@mail.test", INVITEE, f"<{'0a' * 16}@clients.test>") for name in SAMPLES},
    "complaint": complaint("fbl@mail.test", f"<{'0a' * 16}@clients.test>"),
}


@given(st.data())
@settings(max_examples=EXAMPLES, deadline=None)
@pytest.mark.parametrize("name", ORIGINALS)
def test_they_are_read_without_an_exception(name: str, data: st.DataObject) -> None:
    content = data.draw(mutated(ORIGINALS[name]))
    report = read_report(content)
    if report is not None:
        finding = report.about(INVITEE)
        assert finding is None or (isinstance(finding.action, Action) and isinstance(finding.words, str))


def test_no_other_row_ever_changes(
    app: Flask, admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    others = [app_driver.invite(f"other{n}@nordwind.test") for n in range(3)]
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    taken = mail_server.wait_for(INVITEE)
    before = _without(app_driver.dump(), client_id)

    @given(name=st.sampled_from(sorted(SAMPLES)), data=st.data())
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def mutate(name: str, data: st.DataObject) -> None:
        content = data.draw(mutated(sample(name, taken.sender, INVITEE, taken.message["Message-ID"])))
        assert isinstance(app_driver.do(ingest, content), Outcome)

    mutate()
    assert _without(app_driver.dump(), client_id) == before
    assert {admin.row(HARBOUR, f"other{n}@nordwind.test").delivery for n in range(len(others))} == {"sent"}


def _without(dump: str, client_id: UUID) -> list[str]:
    """What the database holds of all other clients."""
    own = re.compile(rf"{client_id}|{client_id.hex}")
    return [line for line in dump.splitlines() if not own.search(line)]
