"""What an open page is answered: the table when that shows something else, and 204, nearly for nothing, when not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
import time_machine
from flask import Flask, template_rendered
from sqlalchemy import update

from app.clients.expiry import track_expiry
from app.clients.list_params import Health, TableView, read_view
from app.clients.polling import HOLDS_SECONDS
from app.core.clock import now
from app.core.text import fold
from app.db.transactions import transaction
from app.models import ClientEvent, ClientStatus, ImportedClient, MailState, OutboxMail, Role
from app.outbox.errors import PermanentFailure, ServerMisconfigured, TransientFailure
from app.outbox.routing import DEPLOYMENT, pause
from app.portals.service import grant_role
from app.registration.service import accept, register
from app.registration.verification import Visitor, verify_email
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse
from tests.support.factories import PASSWORD, import_file, make_member, make_user
from tests.support.smtp import MailServer

pytestmark = pytest.mark.both_databases

TABLE = f"{ic(HARBOUR)}/table"
NORD = "info@nordwind.test"


def settle(app_driver: AppDriver) -> None:
    """Let all that has happened be a minute ago."""

    def write() -> None:
        with transaction() as session:
            session.execute(update(ClientEvent).values(at=now() - timedelta(minutes=1)))

    app_driver.do(write)


def change_behind_its_back(app_driver: AppDriver, client_id: UUID, company_name: str) -> None:
    """What nothing in the application does: no event tells of it."""

    def write() -> None:
        with transaction() as session:
            values = {"company_name": company_name, "company_name_folded": fold(company_name)}
            session.execute(update(ImportedClient).where(ImportedClient.id == client_id).values(values))

    app_driver.do(write)


def sent(app_driver: AppDriver, email: str = NORD) -> UUID:
    """A client whose invitation was sent a minute ago."""
    client_id = app_driver.invite(email)
    app_driver.change_mail(app_driver.mail(email).id, state=MailState.SENT)
    app_driver.let_link_lapse(client_id, now() + timedelta(days=7))
    settle(app_driver)
    return client_id


class OpenPage:
    """A page that shows the table, and asks for it."""

    def __init__(self, browser: Browser, query: str = "") -> None:
        self._browser = browser
        self.table = parse(browser.get(f"{ic(HARBOUR)}{query}")).select_one("#imported-clients")

    @property
    def address(self) -> str:
        return str(self.table["hx-get"])

    @property
    def seen(self) -> str:
        found = re.search("seen=([^&]*)", self.address)
        assert found
        return found[1]

    @property
    def names(self) -> list[str]:
        return [cell.get_text(strip=True) for cell in self.table.select("td[data-col=company_name]")]

    def ask(self) -> int:
        """The answer's status; where it has the table, that is shown now."""
        answer = self._browser.get(self.address, htmx=True)
        if answer.status_code == 200:
            self.table = parse(answer).select_one("#imported-clients")
        return answer.status_code


@pytest.fixture
def rendered(app: Flask) -> Iterator[list[str]]:
    """The names of all templates that were rendered, as it goes on."""
    names: list[str] = []

    def note(_sender: Flask, *, template: object, **_rest: object) -> None:
        names.append(str(getattr(template, "name", "")))

    with template_rendered.connected_to(note, app):
        yield names


# What costs next to nothing


def test_where_nothing_has_happened_nothing_is_rendered(
    admin: Browser, app_driver: AppDriver, rendered: list[str]
) -> None:
    sent(app_driver)
    page = OpenPage(admin)
    rendered.clear()
    assert page.ask() == 204
    assert rendered == []


@pytest.mark.parametrize("why", ["just after an event", "with many mails on their way"])
def test_where_there_is_no_revision_what_the_table_shows_is_compared(
    why: str, admin: Browser, app_driver: AppDriver, rendered: list[str]
) -> None:
    """An older event may still be committed; of so many mails, one may be taken up unseen."""
    client_id = app_driver.invite("a@first.test")
    if why == "with many mails on their way":
        app_driver.do(import_file, HARBOUR, *(f"c{n}@many.test" for n in range(200)))
        settle(app_driver)
    page = OpenPage(admin, "?sort=email")
    rendered.clear()
    assert page.ask() == 204
    assert "clients/_table.html" in rendered
    change_behind_its_back(app_driver, client_id, "Changed")
    assert page.ask() == 200
    assert page.names[0] == "Changed"


def test_a_mail_that_is_tried_again_is_seen_without_an_event(
    admin: Browser, app_driver: AppDriver, rendered: list[str]
) -> None:
    app_driver.invite(NORD)
    settle(app_driver)
    page = OpenPage(admin)
    rendered.clear()
    assert page.ask() == 204
    assert rendered == []
    mails = app_driver.claim()
    app_driver.settle(mails[0], TransientFailure("451 too busy"))
    assert page.ask() == 200
    assert "451 too busy" in page.table.get_text()
    assert page.ask() == 204


def test_a_table_is_sent_anew_after_its_time(admin: Browser, app_driver: AppDriver) -> None:
    """So that "5 minutes ago" goes on, and nothing that was missed stays unseen."""
    client_id = sent(app_driver)
    with time_machine.travel(now(), tick=False) as clock:
        page = OpenPage(admin)
        change_behind_its_back(app_driver, client_id, "Changed")
        clock.shift(HOLDS_SECONDS - 1)
        assert page.ask() == 204
        clock.shift(1)
        assert page.ask() == 200
        assert page.names == ["Changed"]
        assert page.ask() == 204


@pytest.mark.parametrize(
    "seen", ["", ".", "..", "x.y.z", f"{'9' * 5000}.REVISION.x", "-1.REVISION.x", "²³.REVISION.x", "REVISION"]
)
def test_what_is_no_fingerprint_gets_the_table(admin: Browser, app_driver: AppDriver, seen: str) -> None:
    sent(app_driver)
    revision = OpenPage(admin).seen.split(".")[1]
    assert revision
    assert admin.get(TABLE, query_string={"seen": seen.replace("REVISION", revision)}, htmx=True).status_code == 200


# What happens is seen


def _resend(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.resend(client_id)


def _remove(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.remove(client_id)


def _add(app_driver: AppDriver, _client_id: UUID) -> None:
    app_driver.invite("another@nordwind.test")


def _import(app_driver: AppDriver, _client_id: UUID) -> None:
    app_driver.do(import_file, HARBOUR, "one@file.test", "two@file.test")


def _expire(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.let_link_lapse(client_id, now() - timedelta(hours=1))
    app_driver.do(track_expiry)


def _register(app_driver: AppDriver, client_id: UUID) -> None:
    app_driver.do(register, app_driver.link(client_id).rpartition("/")[2], "Nora Wind", PASSWORD)


def _accept(app_driver: AppDriver, client_id: UUID) -> None:
    user_id = app_driver.do(make_user, NORD, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id).rpartition("/")[2], user_id)


def _find_fault(app_driver: AppDriver, _client_id: UUID) -> None:
    def write() -> None:
        with transaction() as session:
            session.execute(update(OutboxMail).values(state=MailState.SENT))
            pause(DEPLOYMENT, ServerMisconfigured("The password is wrong."))

    app_driver.do(write)


@pytest.mark.parametrize("act", [_resend, _remove, _add, _import, _expire, _register, _accept])
def test_whatever_happens_is_seen_at_once_by_every_page(
    act: Callable[[AppDriver, UUID], None],
    admin: Browser,
    staff: Browser,
    app_driver: AppDriver,
    reconfigured: Callable[..., Flask],
) -> None:
    client_id = sent(app_driver)
    pages = [OpenPage(browser) for browser in (admin, staff, admin.twin(reconfigured()))]
    assert [page.ask() for page in pages] == [204, 204, 204]
    act(app_driver, client_id)
    assert [page.ask() for page in pages] == [200, 200, 200]
    # However long ago it was.
    settle(app_driver)
    assert {page.ask() for page in pages} <= {200, 204}
    assert [page.ask() for page in pages] == [204, 204, 204]


@pytest.mark.parametrize("error", [None, PermanentFailure("550 no such mailbox")])
def test_what_becomes_of_a_mail_is_seen_at_once(
    admin: Browser, app_driver: AppDriver, error: PermanentFailure | None
) -> None:
    app_driver.invite(NORD)
    settle(app_driver)
    page = OpenPage(admin)
    mails = app_driver.claim()
    assert page.ask() == 200
    assert page.table.select("tr[data-delivery=sending]")
    app_driver.settle(mails[0], error)
    assert page.ask() == 200
    assert page.table.select(f"tr[data-delivery={'failed' if error else 'sent'}]")


def test_verifying_an_address_is_seen_at_once(
    admin: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(NORD)
    _register(app_driver, client_id)
    outbox.flush()
    (link,) = [mail.link for mail in mail_server.to(NORD) if "verif" in mail.link]
    settle(app_driver)
    page = OpenPage(admin)
    assert page.ask() == 204
    app_driver.do(verify_email, link.rpartition("/")[2], Visitor(app_driver.user(NORD).id))
    assert page.ask() == 200
    assert page.table.select("tr[data-status=joined]")


def test_a_pause_of_the_mail_server_is_seen_at_once(
    admin: Browser, app_driver: AppDriver, reconfigured: Callable[..., Flask]
) -> None:
    client_id = sent(app_driver)
    page = OpenPage(admin.twin(reconfigured(MAIL_SERVER="localhost", MAIL_DEFAULT_SENDER="a@b.test")))
    assert page.ask() == 204
    _find_fault(app_driver, client_id)
    assert page.ask() == 200
    assert page.table.select("#mail-pause")


@pytest.mark.parametrize("expires", [timedelta(seconds=30), timedelta(hours=48, seconds=30)])
def test_time_alone_changes_a_table(admin: Browser, app_driver: AppDriver, expires: timedelta) -> None:
    """A link that expires, or that will within two days."""
    client_id = sent(app_driver)
    sent(app_driver, "other@client.test")
    at = now().replace(microsecond=0)
    app_driver.let_link_lapse(client_id, at + expires)
    with time_machine.travel(at, tick=False) as clock:
        page = OpenPage(admin)
        before = _attention(page)
        clock.shift(29)
        assert page.ask() == 204
        clock.shift(1)
        assert page.ask() == 200
        assert (_attention(page), before) in {(1, 1), (1, 0)}


def _attention(page: OpenPage) -> int:
    return int(page.table.select_one("[data-glance=attention] strong").get_text())


def test_who_does_something_sees_it_in_the_next_table(
    admin: Browser, app_driver: AppDriver, reconfigured: Callable[..., Flask]
) -> None:
    """By the very next request, whichever process answers it."""
    browsers = (admin, admin.twin(reconfigured()))
    assert admin.post(ic(HARBOUR), {"company_name": "Nord", "email": NORD}, htmx=True).status_code == 200
    assert [[row.email for row in browser.rows(HARBOUR)] for browser in browsers] == [[NORD], [NORD]]
    one = f"{ic(HARBOUR)}/{admin.row(HARBOUR, NORD).id}"
    assert admin.post(f"{one}/remove", {}).status_code == 303
    assert [browser.rows(HARBOUR) for browser in browsers] == [[], []]


# Nobody gets another's table


def test_a_role_that_was_taken_away_takes_the_buttons_with_it(admin: Browser, app_driver: AppDriver) -> None:
    sent(app_driver)
    page = OpenPage(admin)
    assert page.table.select("form[method=post], [name=client_id]")
    app_driver.do(grant_role, HARBOUR, "ada@harbour.test", Role.STAFF)
    assert page.ask() == 200
    assert not page.table.select("form[method=post], [name=client_id]")


def test_a_fingerprint_is_good_for_the_one_who_got_it(app: Flask, admin: Browser, app_driver: AppDriver) -> None:
    sent(app_driver)
    app_driver.do(make_member, HARBOUR, "eve@harbour.test", "Eve Berg", Role.CLIENT_ADMIN)
    other = Browser(app)
    other.sign_in("eve@harbour.test", PASSWORD)
    page = OpenPage(admin)
    assert admin.get(page.address, htmx=True).status_code == 204
    assert other.get(page.address, htmx=True).status_code == 200


def test_a_portal_is_never_seen_by_another(admin: Browser, stranger: Browser, app_driver: AppDriver) -> None:
    sent(app_driver)
    page = OpenPage(admin)
    assert stranger.rows(ALPINE) == []
    assert stranger.get(page.address, htmx=True).status_code == 404


def test_each_session_gets_its_own_token_and_its_form_works(app: Flask, admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite(NORD)
    again = Browser(app)
    again.sign_in("ada@harbour.test", PASSWORD)
    tokens = set()
    for browser in (admin, again):
        (form,) = parse(browser.get(TABLE)).select("#imported-clients form[method=post]")
        typed = {field["name"]: field["value"] for field in form.select("input[name]")}
        tokens.add(typed["csrf_token"])
        app_driver.let_presses_pass()
        assert browser.client.post(form["action"], data=typed).status_code == 303
    assert len(tokens) == 2


# Who asks


def test_who_asks_goes_with_the_view_wherever_it_leads_and_stands_in_no_address() -> None:
    view = read_view({"health": ["failed"], "size": ["50"], "asker_id": ["2"]}, 1)
    views = [
        view,
        view.only(health="expired"),
        view.only(status="joined"),
        view.without("health"),
        view.sized(100),
        view.sorted_by("email"),
    ]
    assert {one.asker_id for one in views} == {1}
    assert {name for one in views for name in one.query()} == {"health", "status", "size", "sort"}
    assert view != read_view({"health": ["failed"], "size": ["50"]}, 2)
    assert TableView(asker_id=1).only(health="failed") == TableView(health=Health.FAILED, asker_id=1)


# When a page asks


@pytest.mark.parametrize(
    ("query", "values", "is_live"),
    [
        ("", {"state": MailState.QUEUED}, True),
        ("", {"state": MailState.FAILED}, False),
        # It may have arrived, so somebody can still accept.
        ("", {"state": MailState.FAILED, "unknown_outcomes": 1}, True),
        # On another page; its number stands above this one.
        ("?status=joined", {"state": MailState.QUEUED}, True),
        ("?status=joined", {"state": MailState.SENT}, False),
    ],
)
def test_a_page_asks_while_something_that_it_shows_can_change_by_itself(
    admin: Browser, app_driver: AppDriver, query: str, values: dict[str, object], is_live: bool
) -> None:
    sent(app_driver)
    app_driver.change_mail(app_driver.mail(NORD).id, **values)
    assert OpenPage(admin, query).table.has_attr("data-live") is is_live


def test_a_page_does_not_ask_when_the_last_link_has_expired_or_all_have_joined(
    admin: Browser, app_driver: AppDriver
) -> None:
    client_id = sent(app_driver)
    assert OpenPage(admin).table.has_attr("data-live")
    app_driver.let_link_lapse(client_id, now() - timedelta(days=1))
    assert not OpenPage(admin).table.has_attr("data-live")
    _resend(app_driver, client_id)
    user_id = app_driver.do(make_user, NORD, "Nora Wind")
    app_driver.do(accept, app_driver.link(client_id, 2).rpartition("/")[2], user_id)
    assert app_driver.client(NORD).status is ClientStatus.JOINED
    assert not OpenPage(admin).table.has_attr("data-live")


def test_below_another_path_the_addresses_are_those_of_that_path(
    app_driver: AppDriver, admin: Browser, reconfigured: Callable[..., Flask]
) -> None:
    app_driver.invite(NORD)
    proxied = admin.twin(reconfigured(TRUSTED_PROXIES="1"))
    for prefix in ("", "/below", ""):
        page = proxied.get(TABLE, htmx=True, headers={"X-Forwarded-Prefix": prefix} if prefix else {})
        table = parse(page).select_one("#imported-clients")
        assert table["hx-get"].startswith(f"{prefix}/portals/")
        assert table.select_one("use")["href"].startswith(f"{prefix}/static/")
        assert table.select_one(".row-link")["href"].startswith(f"{prefix}/portals/")
