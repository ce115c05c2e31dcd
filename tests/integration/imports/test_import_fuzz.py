"""Any file, posted to two applications at once, one on each database: both do what a second reader says of the file.

How many files are tried can be set: IMPORT_FUZZ_EXAMPLES.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from app import create_app
from app.db.transactions import transaction
from app.extensions import db
from app.models import ClientEvent, ClientImport, ImportedClient, OutboxMail, RateLimitHit, Role
from config import load_settings
from tests.conftest import HARBOUR
from tests.support.browser import Browser, ic, parse
from tests.support.databases import PostgresqlDatabases, SqliteDatabases
from tests.support.factories import PASSWORD, invite, make_member, make_portal
from tests.unit.imports.client_lists import HEADER, client_lists, many_rows, spoilt_client_lists
from tests.unit.imports.second_reader import second_read
from tests.unit.imports.workbooks import as_csv, sheets, xlsx

FUZZ = settings(max_examples=int(os.environ.get("IMPORT_FUZZ_EXAMPLES", "15")), deadline=None)

# Some of the files have this address in them; it is in the table before.
KNOWN = "k@x.test"


@dataclass(frozen=True)
class Outcome:
    """What became of a file: refused or not, the lines that were named, and the table from its top, with its mails."""

    is_accepted: bool
    bad_lines: set[int]
    table: list[tuple[str, str]]
    mails: set[str]


class Site:
    """An application with a client admin at it."""

    def __init__(self, database_url: str) -> None:
        self.app = create_app(
            load_settings({"DATABASE_URL": database_url, "SECRET_KEY": "a key for tests and nothing else"})
        )
        with self.app.app_context():
            make_portal(HARBOUR, "Harbour Tours")
            make_member(HARBOUR, "ada@harbour.test", "Ada Berg", Role.CLIENT_ADMIN)
            db.session.remove()
        self.admin = Browser(self.app)
        assert self.admin.sign_in("ada@harbour.test", PASSWORD).status_code == 303

    def outcome(self, data: bytes) -> Outcome:
        """Post the file to a table that holds one client and nothing else."""
        with self.app.app_context():
            empty_table()
            invite(HARBOUR, KNOWN, "Known")
        answer = self.admin.post(f"{ic(HARBOUR)}/import", {"file": (io.BytesIO(data), "clients.csv")}, htmx=True)
        assert answer.status_code in {200, 413, 422}
        named = [int(str(row["data-error-line"])) for row in parse(answer).select("[data-error-line]")]
        assert len(named) == len(set(named))
        assert (answer.status_code == 200) is not ("Nothing was imported" in answer.text)
        with self.app.app_context():
            return Outcome(answer.status_code == 200, set(named), *table_and_mails())

    def close(self) -> None:
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()


def empty_table() -> None:
    with transaction() as session:
        for model in (OutboxMail, ClientEvent, ImportedClient, ClientImport, RateLimitHit):
            session.execute(delete(model))


def table_and_mails() -> tuple[list[tuple[str, str]], set[str]]:
    rows = db.session.execute(
        select(ImportedClient.company_name, ImportedClient.email).order_by(ImportedClient.id.desc())
    ).all()
    mails = db.session.scalars(select(OutboxMail.recipient)).all()
    assert len(mails) == len(set(mails))
    return [(name, email) for name, email in rows], set(mails)


@pytest.fixture(scope="module")
def sites(
    sqlite_databases: SqliteDatabases,
    postgresql_databases: PostgresqlDatabases,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Site]]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    made = [Site(databases.fresh(folder)) for databases in (sqlite_databases, postgresql_databases)]
    yield made
    for site in made:
        site.close()


def verdict(data: bytes) -> Outcome:
    """What the second reader says ought to become of a file."""
    before = [("Known", KNOWN)]
    read = second_read(data)
    known_lines = {line for line, _name, email in read.rows if email == KNOWN}
    bad_lines = read.bad_lines | known_lines
    if not read.readable or bad_lines:
        return Outcome(False, bad_lines, before, {KNOWN})
    new = [(name, email) for _line, name, email in read.rows]
    return Outcome(True, set(), new + before, {email for _name, email in new} | {KNOWN})


@FUZZ
@given(data=client_lists() | spoilt_client_lists() | st.binary(max_size=60))
@example(data=HEADER + many_rows(1000))
@example(data=HEADER + many_rows(1001))
@example(data=HEADER + f"A,{KNOWN}\r\n".encode())
def test_both_databases_do_with_any_file_what_the_second_reader_says(sites: list[Site], data: bytes) -> None:
    expected = verdict(data)
    for site in sites:
        assert site.outcome(data) == expected


@settings(FUZZ, max_examples=max(4, FUZZ.max_examples // 50))
@given(rows=sheets())
def test_a_workbook_has_the_outcome_of_its_rows_as_csv(sites: list[Site], rows: list[list[str]]) -> None:
    expected = verdict(as_csv(rows))
    for site in sites:
        assert site.outcome(xlsx(rows)) == expected
