"""Backups and copies of a database: they mail nobody until somebody releases them."""

from __future__ import annotations

import fcntl
import json
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Timer

import flask_migrate
import psycopg
import pytest
from sqlalchemy import text

from app.cli import sqlite_copy
from app.core.clock import now
from app.core.errors import DomainError
from app.extensions import db
from tests.conftest import HARBOUR
from tests.integration.cli.copies import ON_POSTGRESQL, ON_SQLITE, Copy, Place, programs_of
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import KINDS
from tests.support.factories import PASSWORD
from tests.support.shared import KEY, SharedApps
from tests.support.smtp import MailServer

ADA = "ada@harbour.test"
FIRST = "info@client0.test"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("places")


@pytest.fixture
def folder(root: Path) -> Path:
    """Always the same one, so that the tests share the applications on the databases in it."""
    shutil.rmtree(root)
    (root / "data").mkdir(parents=True)
    return root / "data"


@pytest.fixture(params=KINDS)
def place(
    request: pytest.FixtureRequest, folder: Path, mail_server: MailServer, shared_apps: SharedApps
) -> Iterator[Place]:
    environment = {
        "SECRET_KEY": KEY,
        "PUBLIC_BASE_URL": "http://clients.harbour.test",
        "MAIL_SERVER": mail_server.host,
        "MAIL_PORT": str(mail_server.port),
    }
    databases = request.getfixturevalue(f"{request.param}_databases")
    with ExitStack() as stack:
        if request.param == "postgresql":
            stack.enter_context(programs_of(databases))
        yield Place(databases, folder, environment, shared_apps)


def notice_of(browser: Browser) -> str:
    notice = parse(browser.get(ic(HARBOUR))).select_one("#sending-stopped")
    assert notice is not None
    return words(notice)


def test_what_was_restored_sends_nothing_twice_and_an_operator_releases_it(
    place: Place, mail_server: MailServer
) -> None:
    """Backed up with ten waiting, then these are sent. They are dropped at the release, and what is new goes out."""
    place.invite(10)
    file = str(place.folder / "backup")
    assert "bytes" in place.done(place.original, "db", "backup", file)
    assert Path(file).stat().st_mode & 0o077 == 0
    place.flush(place.original)
    assert len(mail_server.mails) == 10

    restored = place.databases.empty(place.folder, "restored")
    assert "sends nothing until" in place.done(restored, "db", "restore", file)
    for _ in range(2):
        place.flush(restored)
    assert len(mail_server.mails) == 10
    said = place.done(restored, "outbox", "status").splitlines()[0]
    assert said.startswith("Nothing is sent: this database was restored or copied.")
    assert "Held since" in said
    assert said in place.run(restored, "check").stdout
    with place.app(restored) as app:
        assert "imported_clients_sending_stopped 1.0" in app.test_client().get("/metrics").text

    listed = place.run(restored, "outbox", "release", "--json")
    assert listed.exit_code == 1
    (waiting,) = json.loads(listed.stdout)["waiting"]
    assert (waiting["kind"], waiting["count"]) == ("invitation", 10)
    later = f"{now() + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"
    asked = place.run(restored, "outbox", "release", "--drop-before", later)
    assert "but for 10 of them that would be dropped" in asked.stderr
    released = place.run(restored, "outbox", "release", "--drop-before", later, "--yes")
    assert (released.exit_code, released.stderr) == (0, "Released; 10 dropped.\n")
    place.flush(restored)
    assert len(mail_server.mails) == 10

    with place.app(restored) as app:
        browser = Browser(app)
        browser.sign_in(ADA, PASSWORD)
        (row,) = browser.rows(HARBOUR, f"?email={FIRST}")
        assert (row.delivery, row.link) == ("failed", "valid")
        assert "Resend if it's still needed" in words(parse(browser.get(ic(HARBOUR))))
        # The original has sent it.
        assert Browser(app).get(mail_server.to(FIRST)[0].link).status_code == 200
        assert browser.post(f"{ic(HARBOUR)}/{row.id}/resend").status_code == 303
    place.flush(restored)
    assert len(mail_server.mails) == 11
    assert place.run(restored, "outbox", "release", "--yes").stderr.startswith("Nothing is held")


def test_a_backup_is_put_in_place_of_what_is_there_only_if_asked_and_the_tab_says_that_it_sends_nothing(
    place: Place, mail_server: MailServer
) -> None:
    place.invite(2)
    file = str(place.folder / "backup")
    place.done(place.original, "db", "backup", file)
    place.flush(place.original)
    assert "not empty" in place.refused(place.original, "db", "restore", file)
    place.done(place.original, "db", "restore", file, "--yes")
    with place.app(place.original) as app:
        browser = Browser(app)
        browser.sign_in(ADA, PASSWORD)
        notice = notice_of(browser)
    assert "Nothing is being sent. This service's database was restored or copied." in notice
    assert notice.endswith("This began just now .")
    place.flush(place.original)
    assert len(mail_server.mails) == 2
    place.done(place.original, "outbox", "release", "--yes")
    place.flush(place.original)
    assert len(mail_server.mails) == 4


@pytest.mark.parametrize(
    ("place", "copy"),
    [*(("postgresql", one) for one in ON_POSTGRESQL), *(("sqlite", one) for one in ON_SQLITE)],
    indirect=["place"],
)
def test_a_copy_that_somebody_made_by_hand_sends_nothing(place: Place, copy: Copy, mail_server: MailServer) -> None:
    place.invite(2)
    place.flush(place.original)
    place.invite(2)
    copied = copy(place, partial(place.flush, place.original))
    assert len(mail_server.mails) == 4
    place.flush(copied)
    assert len(mail_server.mails) == 4
    assert "restored or copied" in place.done(copied, "outbox", "status")
    place.done(copied, "outbox", "release", "--yes")
    place.flush(copied)
    assert len(mail_server.mails) == 6


def test_nothing_that_happens_to_an_original_holds_it(place: Place, mail_server: MailServer) -> None:
    place.invite(1)
    place.flush(place.original)
    url = place.original
    if place.is_sqlite:
        folder = place.folder.rename(place.folder.with_name("moved"))
        url = f"sqlite:///{folder}/original.sqlite3"
        place.folder, place.original = folder, url
        with closing(sqlite3.connect(folder / "original.sqlite3")) as connection:
            connection.execute("VACUUM")
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM FREEZE")
            connection.execute("VACUUM FULL")
    place.invite(1)
    place.flush(url)
    assert len(mail_server.mails) == 2
    assert "restored or copied" not in place.done(url, "outbox", "status")


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_worker_that_was_suspended_while_it_counted_holds_up_no_other(place: Place, mail_server: MailServer) -> None:
    place.invite(1)
    place.flush(place.original)
    with place.file.with_name(f"{place.file.name}-sent").open() as count:
        before = count.read()
        fcntl.flock(count, fcntl.LOCK_EX)
        place.invite(1)
        place.flush(place.original)
        assert len(mail_server.mails) == 2
        count.seek(0)
        assert count.read() > before


def test_an_upgrade_from_before_goes_on_sending(place: Place, mail_server: MailServer) -> None:
    url = place.databases.empty(place.folder, "upgraded")
    with place.app(url) as app, app.app_context():
        flask_migrate.upgrade(revision="0024")
        flask_migrate.upgrade()
    place.original = url
    place.invite(1)
    place.flush(url)
    assert len(mail_server.mails) == 1


def test_a_downgrade_and_the_next_upgrade_hold_nothing(place: Place, mail_server: MailServer) -> None:
    place.invite(1)
    place.flush(place.original)
    with place.app(place.original) as app, app.app_context():
        flask_migrate.downgrade(revision="0027")
        flask_migrate.upgrade()
    place.invite(1)
    place.flush(place.original)
    assert len(mail_server.mails) == 2


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_restore_does_not_wait_for_ever_for_another_process(place: Place) -> None:
    place.invite(1)
    file = place.folder / "backup"
    place.done(place.original, "db", "backup", str(file))
    place.invite(1)
    with place.app(place.original) as app, app.app_context(), closing(sqlite3.connect(place.file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DomainError, match=r"Stop the web processes, workers .* Nothing was changed"):
            sqlite_copy.restore(file, lock_seconds=0.1)
        assert db.session.scalar(text("SELECT count(*) FROM imported_client")) == 2
    # Nobody waits for a process that lets go of it soon.
    with closing(sqlite3.connect(place.file, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        letting_go = Timer(0.5, other.rollback)
        letting_go.start()
        place.done(place.original, "db", "restore", str(file), "--yes")
        letting_go.join()


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_staging_copy_sends_nothing(place: Place, mail_server: MailServer) -> None:
    place.invite(1)
    mailbox = {"BOUNCE_MAILBOX_URL": "imap://reports:secret@127.0.0.1:1/INBOX"}
    place.flush(place.original, SENDING="off", **mailbox)
    with place.app(place.original, SENDING="off", **mailbox) as app:
        browser = Browser(app)
        browser.sign_in(ADA, PASSWORD)
        refused = browser.post(f"/portals/{HARBOUR}/settings/email/test", {})
        assert "sending is turned off" in refused.text
        assert "Sending is turned off for this service" in notice_of(browser)
        with app.app_context():
            assert db.session.execute(text("SELECT count(*) FROM bounce_mailbox")).scalar() == 0
    assert mail_server.mails == []
    assert place.run(place.original, "outbox", "status", SENDING="off").stdout.startswith("Nothing is sent: SENDING")
    assert "warn\tsending\tNothing is sent: SENDING is off." in place.run(place.original, "check", SENDING="off").stdout
    place.flush(place.original)
    assert len(mail_server.mails) == 1


# Refusals


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_backup_is_a_new_file(place: Place) -> None:
    there = place.folder / "there"
    there.touch()
    assert "exists already" in place.refused(place.original, "db", "backup", str(there))
    assert "name a file" in place.refused(place.original, "db", "backup", "-")
    assert "none is no folder" in place.refused(place.original, "db", "backup", str(place.folder / "none" / "backup"))
    assert there.read_bytes() == b""


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_nothing_is_backed_up_from_an_empty_database(place: Place) -> None:
    """As where DATABASE_URL is not the service's."""
    file = place.folder / "backup"
    refused = place.refused(place.databases.empty(place.folder, "wrong"), "db", "backup", str(file))
    assert "The database is empty, so there is nothing to back up" in refused
    assert not file.exists()


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_full_disk_leaves_no_half_of_a_backup(place: Place) -> None:
    file = place.folder / "copies" / "backup"
    file.parent.mkdir()
    with files_of_at_most(50_000):
        assert "SQLite failed" in place.refused(place.original, "db", "backup", str(file))
    assert list(file.parent.iterdir()) == []


@contextmanager
def files_of_at_most(octets: int) -> Iterator[None]:
    """No file can grow beyond this, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_no_backup_of_ours_changes_nothing(place: Place) -> None:
    place.invite(1)
    file = place.folder / "backup"
    place.done(place.original, "db", "backup", str(file))
    broken, wrong = place.folder / "broken", place.folder / "wrong"
    broken.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    wrong.write_text("company_name,email\n")
    with place.app(place.original) as app, app.app_context():
        ours = db.session.scalar(text("SELECT version_num FROM alembic_version"))
        db.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        db.session.commit()
    newer = place.folder / "newer"
    place.done(place.original, "db", "backup", str(newer))
    with place.app(place.original) as app, app.app_context():
        db.session.execute(text(f"UPDATE alembic_version SET version_num = '{ours}'"))
        db.session.commit()
    for one in (broken, wrong, newer):
        assert place.refused(place.original, "db", "restore", str(one), "--yes")
    assert "newer version" in place.refused(place.original, "db", "restore", str(newer), "--yes")
    assert "invitation" not in place.done(place.original, "outbox", "status").splitlines()[0]
    assert "queued" in place.done(place.original, "outbox", "status")


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_without_pg_dump_one_line_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place.folder))
    file = place.folder / "backup"
    assert "pg_dump is not installed" in place.refused(place.original, "db", "backup", str(file))
    assert list(place.folder.iterdir()) == []
