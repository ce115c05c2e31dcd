"""The database is away for a day, or has an older schema: everything waits, and the log stays small."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import flask_migrate
import pytest
import time_machine
from flask import Flask

from app.jobs.schedule import jobs
from app.jobs.scheduler import Runner
from app.observability import logs
from tests.conftest import own_app
from tests.support.browser import Browser, parse, words
from tests.support.databases import KINDS
from tests.support.shared import KEY

Lines = Callable[[], list[dict[str, str]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """What has been logged since it was asked last, but for requests."""

    def read() -> list[dict[str, str]]:
        found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        return [line for line in found if line["event"] != "request"]

    return read


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path, lines: Lines) -> Iterator[Flask]:
    """An application on a database without a single table."""
    url = request.getfixturevalue(f"{request.param}_databases").empty(tmp_path, "quiet")
    with own_app({"DATABASE_URL": url, "SECRET_KEY": KEY}) as app:
        logs.configure("json")
        yield app


def ready(app: Flask) -> int:
    return app.test_client().get("/readyz").status_code


def test_a_day_without_a_database_is_a_few_lines_and_then_everything_goes_on(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every half hour of a day each job has a round, a load balancer asks, and somebody opens a page."""
    with own_app({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "SECRET_KEY": KEY}) as app:
        runner = Runner(app, Event())
        with time_machine.travel(datetime(2027, 5, 3, tzinfo=UTC), tick=False) as clock:
            for _ in range(24 * 2):
                for job in jobs(app):
                    runner.run(job)
                assert ready(app) == 503
                page = Browser(app).sign_in("ada@harbour.test", "a password")
                assert page.status_code == 503
                assert "can't reach the database" in words(parse(page))
                clock.shift(timedelta(minutes=30))
    written = capsys.readouterr().err
    assert len(written) < 50_000
    said = [line for line in map(json.loads, written.splitlines()) if line["event"] != "request"]
    assert len(said) < 30
    assert "Traceback" not in written


def test_an_older_schema_is_waited_for(empty: Flask, lines: Lines) -> None:
    runner = Runner(empty, Event())
    for revision in (None, "0023"):
        if revision:
            with empty.app_context():
                flask_migrate.upgrade(revision=revision)
        for job in jobs(empty):
            runner.run(job)
        assert ready(empty) == 503
    (line,) = lines()
    assert line["event"].startswith("The database's schema does not fit this code")
    with empty.app_context():
        flask_migrate.upgrade()
    for job in jobs(empty):
        runner.run(job)
    assert [line["event"] for line in lines()] == ["The database can be used again"]
    assert ready(empty) == 200


def test_a_page_on_an_older_schema_says_so(empty: Flask, lines: Lines) -> None:
    for _ in range(3):
        page = Browser(empty).sign_in("ada@harbour.test", "a password")
        assert page.status_code == 503
        assert "The service is being upgraded. Nothing was changed" in page.text
    (line,) = lines()
    assert "exception" not in line
