"""What stands inside the pages of host shells, as it goes over the wire: fragments, frame, loader, shell origins."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.embed.service import allow_origin, origins_of
from app.models import Role
from app.portals.service import grant_role
from tests.conftest import ALPINE, HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, ic, parse, words

SETTINGS = f"/portals/{HARBOUR}/settings/embedding"
INLINE = {"HX-Request": "true", "X-Embedded": "tab inline"}
SHELL = "https://shell.example"


def at(part: str, portal_id: str = HARBOUR) -> str:
    return f"/portals/{portal_id}/embed/{part}"


def framed_by(response: TestResponse) -> list[str]:
    """Which origins may frame an answer."""
    rules = [rule.split() for rule in response.headers["Content-Security-Policy"].split(";")]
    (sources,) = [rule[1:] for rule in rules if rule[0] == "frame-ancestors"]
    return sources


@pytest.fixture
def proxied(reconfigured: Callable[..., Flask], admin: Browser) -> Browser:
    """The admin, whose requests come through the shell's reverse proxy."""
    return admin.twin(reconfigured(TRUSTED_PROXIES="1"))


# The fragments


@pytest.mark.parametrize("surface", ["tab", "table"])
def test_a_fragment_is_one_element_with_its_style_sheet_and_its_token(admin: Browser, surface: str) -> None:
    page = parse(admin.get(at(surface), headers=INLINE))
    *styles, root = page.find_all(recursive=False)
    assert {(style.name, *style["rel"]) for style in styles} == {("link", "stylesheet")}
    assert root["class"] == ["ic", "embedded"]
    assert not page.select("script, style, html, body, meta, base")
    assert root.div["data-csrf"]
    assert root.div["data-embedding"] == f"{surface} inline"
    ids = [element["id"] for element in page.select("[id]")]
    assert len(ids) == len(set(ids))
    assert {"page-alert", "page-status", "clients-view", "imported-clients", "dialog", "panel"} <= set(ids)


def test_the_tab_has_what_its_page_has_and_the_table_only_the_table(admin: Browser, app_driver: AppDriver) -> None:
    app_driver.invite("nord@client.test")
    own = {element["id"] for element in parse(admin.get(ic(HARBOUR))).select("#content [id]")}
    tab = {element["id"] for element in parse(admin.get(at("tab"))).select("[id]")}
    table = {element["id"] for element in parse(admin.get(at("table"))).select("[id]")}
    assert tab - own == {"session-notice"}
    assert own - tab == {"signed-out-notice"}
    assert tab - table == {"filter", "filter-panel", "filter-company-name", "filter-email", "weeks", "add-client",
                           "add-client-menu", "imports-link", "recent-imports", "search",
                           "search-term"}  # fmt: skip


def test_a_fragment_shows_the_view_it_is_asked_for(admin: Browser, app_driver: AppDriver) -> None:
    for name in ("Nordwind", "Berghof"):
        app_driver.invite(f"info@{name.lower()}.test", name)
    page = parse(admin.get(f"{at('tab')}?company_name=nord&sort=email"))
    assert [words(cell) for cell in page.select("[data-col=email]")] == ["info@nordwind.test"]


def test_what_follows_inside_another_page_keeps_to_its_surface_and_tells_the_view(
    admin: Browser, app_driver: AppDriver
) -> None:
    app_driver.invite("nord@client.test", "Nordwind")
    asked = {
        None: admin.get(f"{ic(HARBOUR)}?company_name=nord", htmx=True),
        "tab": admin.get(f"{ic(HARBOUR)}?company_name=nord", headers=INLINE),
        "table": admin.get(f"{ic(HARBOUR)}?company_name=nord", headers=INLINE | {"X-Embedded": "table frame"}),
    }
    assert {name: bool(parse(answer).select("#filter")) for name, answer in asked.items()} == {
        None: True,
        "tab": True,
        "table": False,
    }
    assert asked[None].headers["HX-Push-Url"] == f"{ic(HARBOUR)}?company_name=nord"
    for name in ("tab", "table"):
        assert "HX-Push-Url" not in asked[name].headers
        assert asked[name].headers["HX-Trigger"] == '{"imported-clients:navigate": {"view": "?company_name=nord"}}'
    back = admin.get(ic(HARBOUR), headers=INLINE)
    assert back.headers["HX-Trigger"] == '{"imported-clients:navigate": {"view": ""}}'


def test_nothing_inside_another_page_leads_that_page_away(
    admin: Browser, reconfigured: Callable[..., Flask], app_driver: AppDriver
) -> None:
    """Each link is htmx's, closes a dialog, downloads, or opens a window of its own."""
    without_mail = admin.twin(reconfigured(MAIL_SERVER=None))
    client_id = app_driver.invite("nord@client.test")
    paths = [at("tab"), at("table"), *(f"{ic(HARBOUR)}/{path}" for path in ("new", "import", "weeks"))]
    paths += [f"{ic(HARBOUR)}/{client_id}/{path}" for path in ("remove", "correct", "history")]
    leading = set()
    for path in paths:
        for link in parse(without_mail.get(path, headers=INLINE)).select("a[href]"):
            ways = {"hx-get", "download", "data-close-dialog", "target"} & set(link.attrs)
            assert ways, f"{path}: {link}"
            if ways == {"target"}:
                leading.add((words(link), link["target"]))
    assert leading == {("Set up a mail server", "_blank")}
    # In a frame the session is good for the frame only: there is a sentence instead.
    framed = parse(without_mail.get(at("frame")))
    assert not framed.select("a[target]")
    assert "Set one up in the settings of Imported Clients, under Email." in words(framed)


def test_without_a_session_a_fragment_asks_nobody_to_go_anywhere(nobody: Browser) -> None:
    for path in (at("tab"), ic(HARBOUR), f"{ic(HARBOUR)}/table"):
        answer = nobody.get(path, headers=INLINE)
        assert (answer.status_code, answer.data) == (401, b"")
        assert "HX-Redirect" not in answer.headers
    assert nobody.get(f"{ic(HARBOUR)}/table", htmx=True).headers["HX-Redirect"]
    assert nobody.get(at("tab")).status_code == 302


def test_scripts_are_told_a_token_of_an_older_session_from_other_refusals(admin: Browser, nobody: Browser) -> None:
    embedded = admin.post(ic(HARBOUR), {"csrf_token": "old"}, csrf=False, headers=INLINE)
    assert (embedded.status_code, embedded.headers["X-CSRF-Outdated"]) == (400, "true")
    without_session = nobody.post(ic(HARBOUR), csrf=False, headers=INLINE)
    assert (without_session.status_code, "X-CSRF-Outdated" in without_session.headers) == (401, False)


@pytest.mark.parametrize("part", ["tab", "table", "frame"])
def test_who_may_not_see_the_tab_does_not_see_it_in_another_page(
    joined_client: Browser, stranger: Browser, staff: Browser, part: str
) -> None:
    assert staff.get(at(part)).status_code == 200
    assert joined_client.get(at(part)).status_code == 403
    there, nowhere = stranger.get(at(part)), stranger.get(at(part, "nowhere"))
    assert (there.status_code, there.data) == (nowhere.status_code, nowhere.data)
    assert there.status_code == 404
    assert not parse(staff.get(at("tab"))).select("#add-client")


def test_behind_a_prefix_every_address_begins_with_it(proxied: Browser, app_driver: AppDriver) -> None:
    app_driver.invite("nord@client.test")
    for path in (at("tab"), at("table"), at("frame"), ic(HARBOUR), SETTINGS):
        page = parse(proxied.get(path, headers={"X-Forwarded-Prefix": "/clients"}))
        found = [
            str(tag[name])
            for tag in page.find_all(True)
            for name in ("href", "src", "action", "formaction", "hx-get", "hx-post", "data-htmx", "data-theme-switch")
            if tag.get(name) and not str(tag[name]).startswith("#")
        ]
        assert found
        assert [address for address in found if not re.match(r"/clients(/|$)", address)] == []
        for address in parse(proxied.get(at("tab"), headers={"X-Forwarded-Prefix": "/clients"})).select(
            "[data-scripts]"
        ):
            assert all(one.startswith("/clients/static/") for one in address["data-scripts"].split())


# The frame


def test_only_the_portals_own_shells_may_frame_it(app: Flask, admin: Browser, stranger: Browser) -> None:
    assert framed_by(admin.get(at("frame"))) == ["'none'"]
    with app.app_context():
        allow_origin(HARBOUR, SHELL)
        allow_origin(HARBOUR, "http://localhost:8001")
    answer = admin.get(at("frame"))
    assert framed_by(answer) == ["http://localhost:8001", SHELL]
    # It leads to windows of its own. A refusal tells nothing, in its headers neither.
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"
    assert "X-Frame-Options" not in answer.headers
    (meta,) = parse(answer).select("meta[name=shell-origins]")
    assert meta["content"] == f"http://localhost:8001 {SHELL}"
    # Nothing else of us, and no other portal.
    assert framed_by(stranger.get(at("frame", ALPINE))) == ["'none'"]
    assert stranger.get(at("frame", "nowhere")).headers["Cross-Origin-Opener-Policy"] == "same-origin"
    for path in (ic(HARBOUR), at("tab"), "/login", at("frame", "nowhere")):
        assert framed_by(admin.get(path)) == ["'none'"], path


def test_the_frame_shows_the_surface_it_is_asked_for(admin: Browser) -> None:
    for asked, shown in {"": "tab", "?surface=table": "table", "?surface=tab": "tab", "?surface=<b>": "tab"}.items():
        (surface,) = parse(admin.get(f"{at('frame')}{asked}")).select(".surface")
        assert surface["data-embedding"] == f"{shown} frame"


def test_the_frame_has_no_way_to_other_pages_of_ours(admin: Browser) -> None:
    page = parse(admin.get(at("frame")))
    assert not page.select("header, nav.sidebar, nav.tabs, .skip-link, form[action$=logout]")
    assert page.body["class"] == ["ic", "embedded", "framed"]


def test_in_a_frame_without_a_session_a_page_of_nothing_says_so_for_any_portal(nobody: Browser) -> None:
    in_frame = {"Sec-Fetch-Dest": "iframe"}
    answer, nowhere = (nobody.get(at("frame", portal), headers=in_frame) for portal in (HARBOUR, "nowhere"))
    assert (answer.status_code, answer.data) == (401, nowhere.data)
    assert framed_by(answer) == ["*"]
    page = parse(answer)
    assert "doesn't keep a session" in words(page.body)
    assert not page.select("form, a, button, input, meta[name=csrf-token]")
    # Only there.
    assert nobody.get(at("frame")).location.startswith("/login")
    assert nobody.get(at("tab"), headers=in_frame).location.startswith("/login")


# The loader


def test_the_loader_is_small_and_kept_for_minutes(nobody: Browser) -> None:
    for name in ("loader", "shell"):
        answer = nobody.get(f"/embed/{name}.js", buffered=True)
        assert answer.mimetype == "text/javascript"
        assert answer.cache_control.max_age == 300
        assert not answer.cache_control.no_store
        assert "Set-Cookie" not in answer.headers
    assert len(nobody.get("/embed/loader.js", buffered=True).data) < 6_000


# The settings


def test_an_admin_says_which_shells_may_show_the_portal(app: Flask, admin: Browser) -> None:
    page = parse(admin.get(SETTINGS))
    assert 'src="http://clients.harbour.test/embed/loader.js" defer' in page.select_one(".snippet").text
    assert f'<imported-clients portal="{HARBOUR}"' in page.select_one(".snippet").text
    assert page.select_one("#origins").text.strip() == ""
    typed = (
        " https://Shell.Example:443/ \r\n\r\nhttp://localhost:8001\r\nhttps://shell.example\r\nhttps://bücher.example"
    )
    saved = admin.post(SETTINGS, {"origins": typed})
    assert (saved.status_code, saved.location) == (303, SETTINGS)
    kept = ["http://localhost:8001", SHELL, "https://xn--bcher-kva.example"]
    assert parse(admin.get(SETTINGS)).select_one("#origins").text.split() == kept
    assert admin.post(SETTINGS, {"origins": ""}).status_code == 303
    with app.app_context():
        assert origins_of(HARBOUR) == []


def test_what_is_no_origin_is_refused_with_what_was_typed_kept(app: Flask, admin: Browser) -> None:
    refused = admin.post(SETTINGS, {"origins": f"{SHELL}\nhttps://*.shell.example"})
    assert refused.status_code == 422
    assert field_errors(refused)["origins"].startswith("“https://*.shell.example” isn't an origin.")
    assert parse(refused).select_one("#origins").text.split() == [SHELL, "https://*.shell.example"]
    with app.app_context():
        assert origins_of(HARBOUR) == []


def test_ten_origins_are_the_most(app: Flask, admin: Browser) -> None:
    ten = [f"https://s{n}.example" for n in range(10)]
    assert admin.post(SETTINGS, {"origins": "\n".join(ten)}).status_code == 303
    refused = admin.post(SETTINGS, {"origins": "\n".join([*ten, SHELL])})
    assert (refused.status_code, field_errors(refused)) == (
        422,
        {"origins": "A portal can have at most 10 allowed sites."},
    )
    result = app.test_cli_runner().invoke(args=["portal", "allow-origin", "--id", HARBOUR, SHELL])
    assert (result.exit_code, "at most 10" in result.output) == (1, True)


def test_the_settings_are_for_client_admins(app: Flask, admin: Browser, staff: Browser, stranger: Browser) -> None:
    assert staff.get(SETTINGS).status_code == 403
    assert staff.post(SETTINGS, {"origins": SHELL}).status_code == 403
    assert stranger.get(SETTINGS).status_code == 404
    assert parse(admin.get(SETTINGS)).select_one(".sidebar [aria-current]").text.strip() == "Embedding"
    with app.app_context():
        grant_role(HARBOUR, "ada@harbour.test", Role.STAFF)
    assert admin.post(SETTINGS, {"origins": SHELL}).status_code == 403


def test_an_operator_allows_and_forbids_origins(app: Flask) -> None:
    run = app.test_cli_runner().invoke
    for _ in range(2):
        allowed = run(args=["portal", "allow-origin", "--id", HARBOUR, "https://Shell.Example/"])
        assert (allowed.exit_code, allowed.stdout.strip()) == (0, SHELL)
    with app.app_context():
        assert origins_of(HARBOUR) == [SHELL]
    assert run(args=["portal", "forbid-origin", "--id", HARBOUR, SHELL]).exit_code == 0
    for command in (
        ["forbid-origin", "--id", HARBOUR, SHELL],
        ["allow-origin", "--id", "nowhere", SHELL],
        ["allow-origin", "--id", HARBOUR, "https://*.example"],
    ):
        refused = run(args=["portal", *command])
        assert refused.exit_code == 1
        assert refused.output.startswith("Error: ")
    with app.app_context():
        assert origins_of(HARBOUR) == []
