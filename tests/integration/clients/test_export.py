"""The table as a CSV file: its columns, its filters, and that it streams."""

from __future__ import annotations

import csv
import io

import pytest
from flask import Flask
from sqlalchemy import insert
from werkzeug.test import TestResponse

from app.core.csv_cells import EXPORT_COLUMNS
from app.core.ids import new_id
from app.core.text import fold
from app.db.transactions import transaction
from app.extensions import db
from app.models import ImportedClient
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.browser import Browser, ic
from tests.support.databases import on_sqlite
from tests.support.factories import invite
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases

EXPORT = f"{ic(HARBOUR)}/export.csv"


def rows_of(response: TestResponse) -> list[dict[str, str]]:
    assert response.status_code == 200
    assert response.data.startswith(b"\xef\xbb\xbf")
    text = response.data.decode("utf-8-sig")
    assert text.count("\n") == text.count("\r\n")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def insert_many(app: Flask, number: int) -> None:
    with app.app_context(), transaction() as session:
        session.execute(
            insert(ImportedClient),
            [
                {
                    "portal_id": HARBOUR,
                    "id": new_id(),
                    "company_name": f"Company {n}",
                    "company_name_folded": fold(f"Company {n}"),
                    "email": f"many-{n:05}@client.test",
                    "generation": 1,
                }
                for n in range(number)
            ],
        )


@on_sqlite
def test_it_holds_what_the_table_shows(
    app: Flask, staff: Browser, outbox: Outbox, mail_server: MailServer, nobody: Browser
) -> None:
    mail_server.refuse["refused@client.test"] = "550 5.1.1 No such user here"
    with app.app_context():
        invite(HARBOUR, "refused@client.test", "Müller & Söhne „Übersee“")
        invite(HARBOUR, "sent@client.test", "大阪トラベル, Ltd.")
    outbox.flush()
    with app.app_context():
        invite(HARBOUR, "waiting@client.test", 'The "Quoted" Company')
        invite(ALPINE, "far@client.test", "Far Away", actor="olaf@alpine.test")

    response = staff.get(EXPORT)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="imported-clients-')
    assert response.headers["Cache-Control"] == "no-store"
    rows = rows_of(response)
    assert tuple(rows[0]) == EXPORT_COLUMNS
    assert [(row["company_name"], row["email"], row["status"], row["health"]) for row in rows] == [
        ('The "Quoted" Company', "waiting@client.test", "invite_sent", "queued"),
        ("大阪トラベル, Ltd.", "sent@client.test", "invite_sent", "sent"),
        ("Müller & Söhne „Übersee“", "refused@client.test", "invite_sent", "failed"),
    ]
    assert "550 5.1.1 No such user here" in rows[2]["server_answer"]
    assert rows[0]["email_last_sent"].endswith("Z")
    assert (rows[0]["link_expires"], rows[1]["link_expires"][-1]) == ("", "Z")


def test_it_follows_filters_and_order_and_not_the_page(app: Flask, admin: Browser) -> None:
    with app.app_context():
        for letter, name in (("b", "Äther Reisen"), ("c", "Berg Tours"), ("a", "äther zwei")):
            invite(HARBOUR, f"{letter}@client.test", name)
    names = [row["company_name"] for row in rows_of(admin.get(f"{EXPORT}?company_name=ÄTHER&sort=email&size=25"))]
    assert names == ["äther zwei", "Äther Reisen"]
    assert rows_of(admin.get(f"{EXPORT}?status=joined")) == []
    assert len(rows_of(admin.get(f"{EXPORT}?sort=nonsense&health=nonsense&after=nonsense"))) == 3

    insert_many(app, 60)
    page = admin.get(f"{ic(HARBOUR)}?email=many")
    assert f'href="{EXPORT}?email=many"' in page.text
    assert len(rows_of(admin.get(f"{EXPORT}?email=many"))) == 60


@on_sqlite
def test_no_cell_is_a_formula(app: Flask, admin: Browser) -> None:
    names = ["=1+1", "+49 Tours", "-Dash", "@SUM(A1)", "＝1", "a;=1+1", "=1"]
    with app.app_context():
        for n, name in enumerate(names):
            invite(HARBOUR, f"=c{n}@client.test", name)
    rows = rows_of(admin.get(EXPORT))
    assert [row["company_name"].replace("'", "") for row in rows] == names[::-1]
    assert all("'" in row["company_name"] for row in rows)
    assert not any(row["email"].startswith("=") for row in rows)


@on_sqlite
def test_who_may_have_it(admin: Browser, joined_client: Browser, stranger: Browser, nobody: Browser) -> None:
    assert rows_of(admin.get(EXPORT)) == []
    assert joined_client.get(EXPORT).status_code == 403
    assert stranger.get(EXPORT).status_code == 404
    assert nobody.get(EXPORT).status_code == 302


def test_a_download_that_pauses_or_breaks_off_holds_no_connection(app: Flask, admin: Browser) -> None:
    insert_many(app, 1200)
    response = admin.client.get(EXPORT, buffered=False)
    pieces = response.iter_encoded()
    next(pieces)
    next(pieces)
    with app.app_context():
        assert db.engine.pool.checkedout() == 0
    response.close()
    with app.app_context():
        assert db.engine.pool.checkedout() == 0
    assert admin.get(ic(HARBOUR)).status_code == 200
