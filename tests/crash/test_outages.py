"""The mail server, the database and the disk are away for a while: everybody survives, and all is made up for."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from tests.crash.installation import Installation, wait_until
from tests.crash.people import Answer
from tests.crash.proxy import CuttableWay
from tests.support.databases import SqliteDatabases

Install = Callable[..., Installation]

# Without the beginning, whose apostrophe HTML escapes.
SENTENCE = "reach the database right now. Nothing was changed; please try again in a minute."
FIRST_MAIL_SECONDS = 15


# The mail server


# What a mail server does is the same with either database; `make soak` tries it on both, and for longer.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_when_the_mail_server_is_back_everything_goes_out_by_itself(install: Install) -> None:
    away_for_a_while(install(take_seconds=0.01), mails=200)


def away_for_a_while(place: Installation, mails: int, *, away_seconds: float = 0) -> float:
    """Away from the beginning, back, away once more while mails are under way, and back.

    Returns how long the first mail took, the first time. The worker has the program's own time limits.
    """
    place.web()
    admin = place.admin()
    place.smtp.go_away()
    left = monotonic()
    for n in range(0, mails, 1000):
        assert status(admin.bring_in([f"{m}@client.test" for m in range(n, min(mails, n + 1000))])) == 200
    place.real_worker()
    wait_until(lambda: "cannot be reached" in admin.newest()[0].notes, "the table says why")
    wait_until(lambda: monotonic() - left >= away_seconds, "it has been away for long enough", away_seconds + 1)
    waits = []
    for sent_before in (0, mails // 2):
        back = monotonic()
        place.smtp.come_back()
        wait_until(lambda n=sent_before: len(place.smtp.history) > n, "the first mail goes out", FIRST_MAIL_SECONDS)
        waits.append(monotonic() - back)
        if not sent_before:
            wait_until(lambda: len(place.smtp.history) >= mails // 2, "mails go out", 60 + mails / 20)
            place.smtp.go_away()
    place.settle(60 + mails / 20)
    found = place.assert_kept(admin)
    assert found.accepted == mails
    # What was under way when the server went counts as an attempt, and nothing else does.
    assert sum(mail.attempts for mail in place.app_driver.mails()) <= mails + 4
    return waits[0]


# The database


@contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Somebody else writes to the SQLite file for longer than anybody waits."""
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=10)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def test_when_the_database_is_back_everything_goes_on_by_itself(install: Install, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        place = install(take_seconds=0.3)
        assert_survives(place, lambda: locked(database_url))
        return
    with CuttableWay(database_url) as way:
        place = install(take_seconds=0.3, through=way.url)
        assert_survives(place, way.cut)


def assert_survives(place: Installation, away: Callable[[], AbstractContextManager[None]]) -> None:
    place.web()
    admin = place.admin()
    worker = place.worker()
    admin.bring_in([f"{n}@client.test" for n in range(30)])
    wait_until(lambda: place.smtp.in_hand, "mails are in the server's hands")
    with place.interruption("the database was away"), away():
        assert_refused(admin.add("away@client.test"))
        assert_refused(admin.bring_in(["away-1@client.test", "away-2@client.test"]))
        wait_until(lambda: "the outbox cannot be written" in worker.said, "the worker has noticed")
    wait_until(lambda: status(admin.add("back@client.test")) == 200, "the web is back", 30)
    place.settle()
    found = place.assert_kept(admin)
    assert worker.is_running
    assert found.excused == [], f"what was in hand was marked as soon as the database was back\n{worker.said}"
    assert {line.delivery for line in admin.lines()} == {"sent"}
    place.stop(worker)


def status(answer: Answer | None) -> int | None:
    return answer.status if answer else None


def assert_refused(answer: Answer | None) -> None:
    assert answer is not None
    assert answer.status == 503
    assert SENTENCE in answer.text


# The disk


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a disk of one's own needs root: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled_up(folder: Path) -> Iterator[None]:
    """Not a byte is left on the disk of a folder."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) == 4096:
                pass
        except OSError:
            pass
    yield
    ballast.unlink()


def test_when_a_full_disk_has_room_again_everything_goes_on_by_itself(
    tmp_path: Path, sqlite_databases: SqliteDatabases
) -> None:
    with (
        small_disk(tmp_path / "disk") as disk,
        Installation(tmp_path, sqlite_databases.fresh(disk), take_seconds=0.3) as place,
    ):
        assert_survives(place, lambda: filled_up(disk))


def test_a_database_that_may_not_grow_refuses_with_a_sentence_and_does_nothing_by_half(
    install: Install, database_url: str
) -> None:
    place = install()
    place.web()
    admin = place.admin()
    worker = place.worker()
    with full(place, database_url):
        assert_refused(admin.bring_in([f"full-{n}@client.test" for n in range(500)]))
        assert admin.lines() == []
        assert worker.is_running
    assert status(admin.bring_in([f"full-{n}@client.test" for n in range(500)])) == 200
    place.settle()
    assert place.assert_kept(admin).accepted == 500


@contextmanager
def full(place: Installation, database_url: str) -> Iterator[None]:
    """SQLite may not take another page; PostgreSQL says of each new mail what it says when its disk is full."""
    if database_url.startswith("sqlite"):
        with place.may_not_grow():
            yield
        return
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        connection.execute("CREATE TRIGGER no_room BEFORE INSERT ON outbox_mail EXECUTE FUNCTION no_room()")
        try:
            yield
        finally:
            connection.execute("DROP TRIGGER no_room ON outbox_mail")
            connection.execute("DROP FUNCTION no_room")
