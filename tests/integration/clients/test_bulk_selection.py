"""Several clients are selected by ticks or by a filter, and the question names and counts them."""

from __future__ import annotations

from collections import Counter

import pytest
from flask import Flask
from sqlalchemy import select

from app.clients import bulk
from app.core.ids import new_id, read_id, short_id
from app.extensions import db
from app.models import ImportedClient
from tests.conftest import HARBOUR
from tests.integration.clients.bulk import BULK, import_many, join
from tests.support.browser import Browser, ic, parse, words
from tests.support.databases import everything
from tests.support.factories import invite


def test_every_row_and_only_an_admin_has_a_check_box(admin: Browser, staff: Browser, ids: list[str]) -> None:
    page = parse(admin.get(ic(HARBOUR)))
    boxes = page.select("input[name=client_id][form=bulk-form]")
    assert [box["aria-label"] for box in boxes] == ["Select Company 2", "Select Company 1", "Select Company 0"]
    assert [str(read_id(box["value"])) for box in boxes] == ids[::-1]
    assert page.select_one("#select-page") is not None
    # All that match are on this page.
    assert page.select_one("[name=all]") is None
    seen_by_staff = parse(staff.get(ic(HARBOUR)))
    assert not seen_by_staff.select("[form=bulk-form], #bulk-form, #select-page")


@pytest.mark.both_databases
def test_all_that_match_can_be_chosen_beyond_the_page(app: Flask, admin: Browser) -> None:
    import_many(app, 30)
    page = parse(admin.get(f"{ic(HARBOUR)}?company_name=COMPANY&status=invite_sent"))
    assert words(page.select_one("#bulk-form label")) == "Select all 30 matching clients"
    hidden = {field["name"]: field["value"] for field in page.select("#bulk-form input[type=hidden]")}
    assert hidden == {"company_name": "COMPANY", "status": "invite_sent"}
    other = parse(admin.get(f"{ic(HARBOUR)}?company_name=company+2"))
    assert other.select_one("[name=all]") is None


@pytest.mark.parametrize("htmx", [True, False])
def test_the_question_names_and_counts(app: Flask, admin: Browser, ids: list[str], htmx: bool) -> None:
    join(app, "c0@client.test")
    query = "&".join(f"client_id={client_id}" for client_id in ids)
    response = admin.get(f"{BULK}/remove?{query}", htmx=htmx)
    assert response.status_code == 200
    assert ("<html" in response.text) is not htmx
    form = parse(response).select_one("#bulk-remove-form")
    assert words(form.select_one("#dialog-title")) == "Remove 2 clients?"
    assert [words(item) for item in form.select(".names li")] == [
        "Company 2 c2@client.test",
        "Company 1 c1@client.test",
    ]
    assert "1 selected client has already joined and will be skipped." in words(form)
    assert words(form.select_one("button[type=submit]")) == "Remove 2 clients"
    assert form.select_one("[autofocus]").text == "Cancel"

    question = parse(admin.get(f"{BULK}/resend?all=1&company_name=2", htmx=htmx))
    assert words(question.select_one("#dialog-title")) == "Resend 1 invitation?"


def test_a_long_question_names_the_first_few(app: Flask, admin: Browser) -> None:
    import_many(app, 30)
    form = parse(admin.get(f"{BULK}/remove?all=1", htmx=True))
    assert [words(item) for item in form.select(".names li")][-2:] == ["Company 4 many-4@client.test", "and 25 more"]


def test_get_changes_nothing(app: Flask, admin: Browser, ids: list[str]) -> None:
    before = everything(app)
    for action in ("resend", "remove"):
        for query in (f"client_id={ids[0]}", "all=1", "client_id=nonsense", ""):
            admin.get(f"{BULK}/{action}?{query}")
    assert everything(app) == before


def test_nothing_selected_is_said(app: Flask, admin: Browser, ids: list[str]) -> None:
    before = everything(app)
    for action in ("resend", "remove"):
        for fields in ({}, {"client_id": ["", "nonsense", "ä" * 22]}):
            assert admin.get(f"{BULK}/{action}", query_string=fields).status_code == 422, action
        assert admin.post(f"{BULK}/{action}", {}).status_code in {409, 422}, action
    assert everything(app) == before


@pytest.mark.both_databases
def test_a_filter_is_followed_over_all_pages(app: Flask, admin: Browser, ids: list[str]) -> None:
    import_many(app, 60)
    join(app, "many-7@client.test")
    fields = {"all": "1", "email": "many", "health": "waiting"}
    answer = admin.post(f"{BULK}/resend", fields, htmx=True)
    assert words(parse(answer)) == "59 invitations resent."
    with app.app_context():
        generations = Counter(db.session.scalars(select(ImportedClient.generation)))
        assert generations == {2: 59, 1: 4}


def test_the_ids_asked_about_are_the_ids_acted_on(app: Flask, admin: Browser, ids: list[str]) -> None:
    """A client who comes to match a filter after the question is not removed by the answer to it."""
    form = parse(admin.get(f"{BULK}/remove?all=1", htmx=True))
    fields = {field["name"]: field["value"] for field in form.select("input")}
    with app.app_context():
        invite(HARBOUR, "late@client.test", "Late")
    assert admin.post(f"{BULK}/remove", fields).status_code == 303
    assert [row.email for row in admin.rows(HARBOUR)] == ["late@client.test"]


@pytest.mark.both_databases
def test_more_than_fits_is_refused_whole(
    app: Flask, admin: Browser, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_AT_ONCE", 2)
    before = everything(app)
    for fields in ({"all": "1"}, {"client_id": ids}):
        assert admin.get(f"{BULK}/remove", query_string=fields).status_code == 422
        assert admin.post(f"{BULK}/remove", fields).status_code == 422
        assert admin.post(f"{BULK}/resend", fields).status_code == 422
    assert everything(app) == before


def test_the_largest_form_is_taken(admin: Browser, ids: list[str]) -> None:
    many = " ".join([short_id(new_id()) for _ in range(bulk.MOST_AT_ONCE - 1)] + [ids[0]])
    answer = admin.post(f"{BULK}/resend", {"client_id": many}, htmx=True)
    assert words(parse(answer)) == "1 invitation resent. 9999 clients no longer exist."


def test_the_ticks_of_the_largest_page_fit_into_an_address() -> None:
    """A request line may have 4,094 bytes with gunicorn as it is."""
    address = f"{BULK}/remove?" + "&".join(f"client_id={short_id(new_id())}" for _ in range(100))
    assert len(address) < 3600
