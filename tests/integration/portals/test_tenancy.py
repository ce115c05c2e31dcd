"""Who may do what, tried on every address: nobody learns or changes anything of a portal that is not theirs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from uuid import UUID

import pytest
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app.accounts.users import find_user
from app.models import Role
from app.portals.service import grant_role, revoke_role
from tests.conftest import ALPINE, HARBOUR
from tests.integration.portals.things import ADMINS, THINGS, a_client, a_mail, an_address
from tests.support.browser import HTMX, Browser, ic, parse, words
from tests.support.databases import everything
from tests.support.factories import PASSWORD, invite, make_member
from tests.support.shell import hand_over, register, says, signed

NOWHERE = "nowhere"
ABSENT = str(UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0000))
ABSENT_ACCOUNT = "987654"

# What each person is, and where: all there is to say about them.
Person = tuple[str | None, dict[str, Role]]
PEOPLE: dict[str, Person] = {
    "nobody": (None, {}),
    "admin": ("ada@harbour.test", {HARBOUR: Role.CLIENT_ADMIN}),
    "staff": ("sam@harbour.test", {HARBOUR: Role.STAFF}),
    "joined client": ("carla@client.test", {HARBOUR: Role.CLIENT}),
    "admin demoted in mid-session": ("dora@harbour.test", {HARBOUR: Role.STAFF}),
    "admin dismissed in mid-session": ("dirk@harbour.test", {}),
}
# Whose role changes in mid-session is tried where it changes. Of a portal that never was, members are told the same.
NOT_ASKED: dict[str | None, Sequence[str]] = {
    "dora@harbour.test": ("alpine", "nowhere"),
    "dirk@harbour.test": ("alpine", "nowhere"),
    "sam@harbour.test": ("nowhere",),
    "carla@client.test": ("nowhere",),
}
# The other portal's client admin, whom a host shell hands over as staff of this one: there he is nobody.
HANDED_OVER = ("olaf@alpine.test", {HARBOUR: Role.STAFF})
HEAD_BY = {None, "ada@harbour.test", "carla@client.test"}
Answer = tuple[int, bytes, list[tuple[str, str]]]

ALLOWED = {"view": {Role.CLIENT_ADMIN, Role.STAFF}, "change": {Role.CLIENT_ADMIN}}

# Whose things are named in an address of each portal, beside the portal's own.
SMUGGLED = {HARBOUR: ALPINE, ALPINE: HARBOUR, NOWHERE: HARBOUR}

READS = {"GET", "HEAD"}
LOOK_EVERY = 100
"""After so many requests that must change nothing the database is looked at: it takes longer than the requests do."""


@dataclass(frozen=True)
class Attempt:
    """One request, and what must come of it."""

    method: str
    path: str
    htmx: bool
    verdict: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}{' (htmx)' if self.htmx else ''}"


@pytest.fixture(params=PEOPLE)
def person(request: pytest.FixtureRequest, app: Flask) -> tuple[str, Browser]:
    """One of these people, at a browser; where the role changes in mid-session, it has changed."""
    name: str = request.param
    email, _roles = PEOPLE[name]
    browser = Browser(app)
    with app.app_context():
        if "mid-session" in name:
            assert email is not None
            make_member(HARBOUR, email, "Former Admin", Role.CLIENT_ADMIN)
    if email is not None:
        assert browser.sign_in(email, PASSWORD).status_code == 303
    if "mid-session" in name:
        assert browser.get(f"{ic(HARBOUR)}/new").status_code == 200
        with app.app_context():
            if PEOPLE[name][1]:
                grant_role(HARBOUR, str(email), Role.STAFF)
            else:
                revoke_role(HARBOUR, str(email), Role.CLIENT_ADMIN)
    return name, browser


def test_every_address_answers_each_person_as_their_role_allows(
    app: Flask, person: tuple[str, Browser], nobody: Browser
) -> None:
    name, browser = person
    verdicts = try_every_address(app, PEOPLE[name], browser, nobody)
    assert (
        verdicts
        == {
            "nobody": {"sign in", "not there"},
            "admin": {"let in", "not there"},
            "staff": {"let in", "forbidden", "not there"},
            "joined client": {"forbidden", "not there"},
            "admin demoted in mid-session": {"let in", "forbidden", "not there"},
            "admin dismissed in mid-session": {"not there"},
        }[name]
    )


def test_who_is_handed_over_for_one_portal_is_nobody_in_another(app: Flask, nobody: Browser) -> None:
    register(app, HARBOUR)
    browser = Browser(app)
    handed = hand_over(browser, signed(says(email=HANDED_OVER[0], role="staff")))
    assert handed.status_code == 303
    assert try_every_address(app, HANDED_OVER, browser, nobody) == {"let in", "forbidden", "not there", "sign in"}


def try_every_address(app: Flask, person: Person, browser: Browser, nobody: Browser) -> set[str]:
    """Ask for everything in the name of a person; returns which verdicts there were."""
    with app.app_context():
        ids = {portal: {kind: make(portal) for kind, make in THINGS.items()} for portal in ADMINS}
        for portal, its_ids in ids.items():
            its_ids["mail_id"] = a_mail(portal, its_ids["client_id"])
    ids[NOWHERE] = dict.fromkeys(THINGS, ABSENT) | {"member_id": ABSENT_ACCOUNT, "user_id": ABSENT_ACCOUNT}
    attempts = list(attempts_of(app, person, ids))
    # What somebody without any session is told of an address that never was: everybody is told the same.
    unknown = {
        (method, htmx): answer(ask(nobody, method, "/no/such/page", htmx=htmx))
        for method, htmx in {(one.method, one.htmx) for one in attempts}
    }
    before = everything(app)
    harmless = [one for one in attempts if one.verdict != "let in" or one.method in READS]
    for first in range(0, len(harmless), LOOK_EVERY):
        several = harmless[first : first + LOOK_EVERY]
        for attempt in several:
            response = ask(browser, attempt.method, attempt.path, htmx=attempt.htmx)
            check(attempt, response, unknown[attempt.method, attempt.htmx])
        assert everything(app) == before, f"one of these changed something: {', '.join(map(str, several))}"
    for attempt in attempts:
        if attempt.verdict == "let in" and attempt.method not in READS:
            # Somebody new each time: one of them is removed.
            portal = next(one for one in ADMINS if f"/{one}/" in attempt.path)
            with app.app_context():
                path = attempt.path
                if ids[portal]["client_id"] in path:
                    client = a_client(portal)
                    path = path.replace(ids[portal]["client_id"], client)
                    path = path.replace(ids[portal]["mail_id"], a_mail(portal, client))
                for kind in ("endpoint_id", "invitation_id", "member_id"):
                    if f"/{ids[portal][kind]}/" in f"{path}/":
                        path = path.replace(f"/{ids[portal][kind]}", f"/{THINGS[kind](portal)}")
            before = everything(app)
            response = ask(browser, attempt.method, path, htmx=attempt.htmx)
            check(attempt, response)
            if response.status_code in {409, 422}:
                assert everything(app) == before, f"{attempt} changed something"
    return {one.verdict for one in attempts}


def attempts_of(app: Flask, person: Person, ids: dict[str, dict[str, str]]) -> Iterator[Attempt]:
    """Every rule of the URL map, as its own, as another's and with ids that never were, as a page and by htmx.

    Where somebody is nobody, or may not do it whatever it is done to, they are told so before anybody looks for that:
    the portal's own is tried there as a page, and something of another portal by htmx. Of a portal that never was, what
    changes something comes by htmx and the rest as a page. HEAD is the view of GET, and tried of each rule once, by
    somebody of each verdict.
    """
    email, _roles = person
    for rule in app.url_map.iter_rules():
        methods = sorted((rule.methods or set()) - {"OPTIONS"})
        if "portal_id" in rule.arguments:
            owners = list(ids) if rule.arguments - {"portal_id"} else [None]
            portals = [portal for portal in ids if portal not in NOT_ASKED.get(email, ())]
            for method, portal, owner, htmx in product(methods, portals, owners, (False, True)):
                due = verdict(app, rule, person, portal, owner, htmx=htmx)
                is_let_in = verdict(app, rule, person, portal, portal, htmx=htmx) == "let in"
                if not is_let_in and owner is not None and owner != (SMUGGLED[portal] if htmx else portal):
                    continue
                if portal == NOWHERE and htmx is (method in READS):
                    continue
                if method == "HEAD" and (
                    htmx or portal != HARBOUR or owner not in {None, portal} or email not in HEAD_BY
                ):
                    continue
                path = path_of_rule(rule, portal_id=portal, **(ids[owner] if owner else {}))
                yield Attempt(method, path, htmx, due)
        elif "token" in rule.arguments and email not in NOT_ASKED:
            for method, htmx in product(methods, (False, True)):
                yield Attempt(method, path_of_rule(rule, token="never.made"), htmx, "not there")


def verdict(app: Flask, rule: Rule, person: Person, portal: str, owner: str | None, *, htmx: bool) -> str:
    """What is due to a person, an address of a portal, and the owner of the client in it."""
    email, roles = person
    if email is None:
        return "sign in"
    role = roles.get(portal)
    if role is None:
        # Whoever was handed over elsewhere: their shell's page may have them handed over here, too.
        return "sign in" if person is HANDED_OVER and htmx else "not there"
    if role not in ALLOWED[app.view_functions[rule.endpoint].portal_guard]:  # type: ignore[attr-defined]
        return "forbidden"
    return "not there" if owner not in {None, portal} or owner == NOWHERE else "let in"


def path_of_rule(rule: Rule, **values: str) -> str:
    unknown = rule.arguments - values.keys()
    assert not unknown, f"{rule}: say in THINGS how a portal gets one of these"
    built = rule.build({key: value for key, value in values.items() if key in rule.arguments}, append_unknown=False)
    assert built
    return built[1]


def ask(browser: Browser, method: str, path: str, *, htmx: bool) -> TestResponse:
    """A well-formed request: it carries the session's own CSRF token and whatever the forms of a portal ask for."""
    if method in READS:
        return browser.client.open(path, method=method, headers=HTMX if htmx else {})
    typed = {
        "company_name": "Typed Ltd",
        "email": an_address(),
        "name": "Typed Name",
        "password": PASSWORD,
        "role": "staff",
    }
    upload = (io.BytesIO(f"company_name,email\r\nRow Ltd,{an_address()}\r\n".encode()), "clients.csv")
    return browser.send(method, path, {**typed, "file": upload}, htmx=htmx)


def check(attempt: Attempt, response: TestResponse, unknown: Answer | None = None) -> None:
    status = response.status_code
    match attempt.verdict:
        case "let in":
            # 409 where nobody was selected whom it could be done to.
            assert status in ({200, 409, 422} if attempt.htmx else {200, 303, 409, 422}), f"{attempt}: {status}"
        case "forbidden":
            assert status == 403, f"{attempt}: {status}"
        case "sign in" if attempt.htmx:
            assert (status, response.data) == (401, b""), f"{attempt}: {status}"
            assert response.headers["HX-Redirect"].startswith("/login")
        case "sign in":
            assert status == 302, f"{attempt}: {status}"
            assert response.location.startswith("/login")
        case "not there":
            assert status == 404, f"{attempt}: {status}"
            assert answer(response) == unknown, f"{attempt} can be told from an address that never was"


def answer(response: TestResponse) -> Answer:
    """All that tells one answer from another, but for the asker's own account, which our script is told."""
    headers = sorted((name, value) for name, value in response.headers if name not in {"Date", "X-Signed-In-As"})
    return response.status_code, response.data, headers


def test_what_is_too_large_tells_nothing_of_a_portal_either(app: Flask, stranger: Browser, nobody: Browser) -> None:
    """Its size is refused before anybody has asked who sends it."""
    huge = {"company_name": "x" * 300_000, "email": "x@client.test"}
    for path in (ic, lambda portal: f"{ic(portal)}/import"):
        answers = []
        for portal in (HARBOUR, NOWHERE):
            upload = (io.BytesIO(b"x" * 3_300_000), "clients.csv")
            response = stranger.send("POST", path(portal), {**huge, "file": upload}, csrf=False)
            assert response.status_code in {404, 413}
            answers.append(answer(response))
        assert answers[0] == answers[1]


@pytest.mark.both_databases
def test_nothing_of_another_portal_is_listed(app: Flask, admin: Browser, stranger: Browser) -> None:
    with app.app_context():
        invite(HARBOUR, "one@client.test", "Harbour Client")
        invite(ALPINE, "two@client.test", "Alpine Client", actor="olaf@alpine.test")
    assert [row.email for row in admin.rows(HARBOUR)] == ["one@client.test"]
    assert [row.email for row in stranger.rows(ALPINE)] == ["two@client.test"]
    accounts = admin.get(f"/portals/{HARBOUR}/settings/accounts").text
    assert "ada@harbour.test" in accounts
    assert "olaf@alpine.test" not in accounts
    assert "Alpine" not in admin.get("/", follow_redirects=True).text


def test_a_portal_named_in_the_form_or_the_query_counts_for_nothing(
    app: Flask, admin: Browser, stranger: Browser
) -> None:
    more = {"portal_id": ALPINE, "status": "joined", "id": ABSENT, "generation": "7", "user_id": "1"}
    added = admin.post(f"{ic(HARBOUR)}?portal_id={ALPINE}", {"company_name": "Nord", "email": "n@client.test", **more})
    assert added.status_code == 303
    assert stranger.rows(ALPINE) == []
    (row,) = admin.rows(HARBOUR)
    assert (row.status, row.id == ABSENT) == ("invite_sent", False)


@pytest.mark.both_databases
@pytest.mark.parametrize("page", ["/settings/accounts", "/settings/accounts/imported-clients"])
def test_odd_words_in_the_query_are_ignored(admin: Browser, page: str) -> None:
    plain = admin.get(f"/portals/{HARBOUR}{page}")
    assert plain.status_code == 200
    for query in (
        f"portal_id={ALPINE}",
        f"after={ABSENT}",
        "after=99999999999999999999999999",
        "after=-1",
        "after=x&after=%00&after=",
        "q=%00",
        "q=%ed%a0%80",
        "_external=1",
        "_scheme=ftp&_external=1",
        "_anchor=x&_method=DELETE",
        "status=nonsense&sort=nonsense&page=-1&company_name=%00&email=%00",
    ):
        response = admin.get(f"/portals/{HARBOUR}{page}?{query}")
        assert response.status_code == 200, query
        # No address in the page leads elsewhere for it.
        assert {path.partition("?")[0] for path in addresses(response)} <= {
            path.partition("?")[0] for path in addresses(plain)
        }, query


def addresses(response: TestResponse) -> set[str]:
    names = ("href", "action", "hx-get", "hx-post", "hx-delete")
    return {tag[name] for tag in parse(response).find_all(True) for name in names if tag.get(name)}


@pytest.mark.both_databases
def test_paging_by_the_id_of_an_account_elsewhere_tells_nothing_of_it(app: Flask, admin: Browser) -> None:
    """Else its name could be found out letter by letter, by whom of one's own it stands between."""
    with app.app_context():
        stranger = find_user("olaf@alpine.test")
        colleague = find_user("ada@harbour.test")
        assert stranger
        assert colleague
        ids = {"stranger": stranger.id, "colleague": colleague.id, "absent": 987654}

    def names_after(user_id: int) -> list[str]:
        page = parse(admin.get(f"/portals/{HARBOUR}/settings/accounts?after={user_id}"))
        return [words(cell) for cell in page.select("td[data-col=name]")]

    assert names_after(ids["colleague"]) == ["Carla Vega", "Sam Lund"]
    assert names_after(ids["stranger"]) == names_after(ids["absent"])
