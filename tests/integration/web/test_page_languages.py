"""Invitees' pages are in their portal's language from the invitation to the sign-in; admins choose theirs."""

from __future__ import annotations

from collections.abc import Callable

from bs4 import Tag
from flask import Flask
from werkzeug.test import TestResponse

from app.branding.resolved import ResolvedBranding
from app.db.transactions import transaction
from app.models import Branding, Language, Stage
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.integration.web.languages import (
    INVITEE,
    NORA,
    SAYS,
    assert_in,
    every_language,
    invite_to_alpine,
    on_sqlite,
    verification_link,
)
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, words
from tests.support.factories import OTHER_PASSWORD, PASSWORD, make_user
from tests.support.smtp import MailServer


def said(element: Tag) -> str:
    """Its words, without the marks that set names apart."""
    return words(element).replace("\u2068", "").replace("\u2069", "")


def heading(response: TestResponse) -> str:
    h1 = parse(response).h1
    assert h1
    return said(h1)


def faults(response: TestResponse) -> list[str]:
    return [words(fault) for fault in parse(response).select(".field-error") if words(fault)]


@every_language
def test_the_page_behind_an_invitation_is_in_its_portal_s_language_whatever_the_browser_wants(
    language: str, speaks: Callable[..., None], app_driver: AppDriver, nobody: Browser
) -> None:
    speaks(language)
    link = app_driver.link(app_driver.invite(INVITEE))
    page = nobody.get(link, headers={"Accept-Language": "it, es;q=0.5, de;q=0.4"})
    assert_in(language, page.text)
    assert heading(page) == SAYS[language]["heading"]
    wrong = nobody.post(link, {"name": "", "password": "short"})
    assert wrong.status_code == 422
    assert_in(language, wrong.text)
    assert faults(wrong) == [SAYS[language]["no name"], SAYS[language]["short"]]


@every_language
def test_a_dead_invitation_says_so_in_its_portal_s_language(
    language: str, speaks: Callable[..., None], app_driver: AppDriver, nobody: Browser
) -> None:
    speaks(language)
    client_id = app_driver.invite(INVITEE)
    link = app_driver.link(client_id)
    app_driver.remove(client_id)
    for answer in (nobody.get(link), nobody.post(link, NORA)):
        assert answer.status_code == 410
        assert_in(language, answer.text)
        assert heading(answer) == SAYS[language]["withdrawn"]


@every_language
def test_the_whole_way_is_in_the_language_it_began_in(
    language: str, speaks: Callable[..., None], app_driver: AppDriver, nobody: Browser
) -> None:
    speaks(language)
    assert nobody.post(app_driver.link(app_driver.invite(INVITEE)), NORA).status_code == 303
    assert_in(language, nobody.get("/verify-email").text)
    link = verification_link(app_driver)
    page = nobody.get(link)
    assert_in(language, page.text)
    assert SAYS[language]["verify it"] in page.text
    assert nobody.post(link).status_code == 303
    assert heading(nobody.get("/verified")) == SAYS[language]["verified"]
    assert heading(nobody.get("/login")) == SAYS[language]["sign in"]
    assert_in(language, nobody.post("/login", {"email": INVITEE, "password": "not that"}).text)
    assert_in(language, nobody.get("/password-reset").text)
    assert_in(language, nobody.get("/no/such/page").text)
    assert nobody.sign_in(INVITEE, NORA["password"]).status_code == 303
    inside = nobody.get("/portals")
    assert_in(language, inside.text)
    assert SAYS[language]["verified"] in said(parse(inside))
    assert nobody.post("/logout").status_code == 303
    assert_in(language, nobody.get("/login").text)


@on_sqlite
def test_a_verification_link_speaks_the_portal_s_language_in_another_browser_too(
    app: Flask, speaks: Callable[..., None], app_driver: AppDriver, nobody: Browser
) -> None:
    speaks("fr")
    nobody.post(app_driver.link(app_driver.invite(INVITEE)), NORA)
    link = verification_link(app_driver)
    phone = Browser(app)
    assert_in("fr", phone.get(link).text)
    asked = phone.post(link)
    assert asked.status_code == 422
    assert parse(asked).html["lang"] == "fr"
    assert phone.post(link, NORA).status_code == 303
    assert_in("fr", phone.get("/verified").text)
    assert_in("fr", Browser(app).get(link).text)  # used by now


@on_sqlite
def test_a_conflict_is_told_in_the_portal_s_language(
    speaks: Callable[..., None], app_driver: AppDriver, nobody: Browser
) -> None:
    speaks("de")
    app_driver.do(make_user, INVITEE, "Nora Wind")
    refused = nobody.post(app_driver.link(app_driver.invite(INVITEE)), NORA)
    assert refused.status_code == 409
    assert "Sein Passwort wurde nicht geändert" in refused.text


def test_without_an_invitation_public_pages_are_in_what_the_browser_asks_for(nobody: Browser) -> None:
    assert_in("en", nobody.get("/login").text)
    for wanted, language in {
        "de;q=0, FR;q=0.1": "fr",
        "it": "en",
        "de-AT,de;q=0.9,en;q=0.8": "de",
        "fr-CA": "fr",
        "it, ar;q=0.5, es;q=0.4": "ar",
        "en-US,de;q=0.9": "en",
        "*": "en",
        "nonsense;;q=x": "en",
    }.items():
        assert_in(language, nobody.get("/login", headers={"Accept-Language": wanted}).text)
    for path in ("/password-reset", "/verify-email", "/verified", "/no/such/page", "/invitations/cut-off"):
        assert_in("en", nobody.get(path).text)
        assert_in("ar", nobody.get(path, headers={"Accept-Language": "it, ar;q=0.5, es;q=0.4"}).text)


@on_sqlite
def test_client_admins_pages_are_in_the_browser_s_language_until_they_choose_one(
    app: Flask, speaks: Callable[..., None], app_driver: AppDriver, admin: Browser
) -> None:
    speaks("ar")
    admin.get(app_driver.link(app_driver.invite(INVITEE)))  # to see what clients see
    german = {"Accept-Language": "de"}
    pages = [f"/portals/{HARBOUR}/settings/{path}" for path in ("accounts", "accounts/imported-clients", "email")]
    assert_in("ar", admin.get("/portals", headers=german).text)
    for path in pages:
        assert_in("de", admin.get(path, headers=german).text)
    for chosen in ("fr", "es"):
        answer = admin.post(
            "/account/language", {"language": chosen}, headers={"Referer": f"http://localhost{pages[0]}"}
        )
        assert (answer.status_code, answer.location) == (303, pages[0])
        for path in (*pages, "/portals", "/account", "/no/such/page"):
            assert_in(chosen, admin.get(path, headers=german).text)
    assert admin.post("/account/language", {"language": "it"}).status_code == 400
    # Where they sign in elsewhere they find it again, and after signing out it stays.
    elsewhere = Browser(app)
    elsewhere.sign_in("ada@harbour.test", PASSWORD)
    assert_in("es", elsewhere.get(pages[0], headers=german).text)
    elsewhere.post("/logout")
    assert_in("es", elsewhere.get("/login", headers=german).text)
    admin.post("/account/language", {"language": ""})
    assert_in("de", admin.get(pages[0], headers=german).text)


@on_sqlite
def test_mails_to_admins_are_in_the_language_they_chose_or_signed_in_with(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    browser, changed = Browser(app), []
    browser.get("/login")
    browser.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "es"
    browser.sign_in("ada@harbour.test", PASSWORD)
    for chosen, before, after in (("", PASSWORD, OTHER_PASSWORD), ("de", OTHER_PASSWORD, PASSWORD)):
        browser.post("/account/language", {"language": chosen})
        answer = browser.post("/account/password", {"current_password": before, "new_password": after})
        assert answer.status_code == 303
        browser.forget_csrf_token()  # the session began anew
        outbox.flush()
        changed += [mail.message["Content-Language"] for mail in mail_server.mails]
        mail_server.mails.clear()
    assert changed == ["es", "de"]


@on_sqlite
def test_the_preview_of_a_draft_is_in_its_language_on_a_page_in_english(app: Flask, admin: Browser) -> None:
    with app.app_context(), transaction() as session:
        session.add(Branding(portal_id=HARBOUR, stage=Stage.DRAFT, language=Language.ARABIC))
    page = f"/portals/{HARBOUR}/settings/branding"
    for shown in ("mail", "invitation", "registered"):
        assert_in("ar", admin.get(f"{page}/preview/{shown}").text)
    assert_in("en", admin.get(page).text)


@on_sqlite
def test_one_browser_s_language_is_nobody_else_s(
    app: Flask, speaks: Callable[..., None], app_driver: AppDriver, nobody: Browser
) -> None:
    speaks("ar")
    speaks("de", ALPINE)
    link = app_driver.link(app_driver.invite(INVITEE))
    other = Browser(app)
    for _again in range(3):
        assert_in("ar", nobody.get(link).text)
        assert_in("en", other.get("/login").text)
        assert_in("de", other.get("/login", headers={"Accept-Language": "de"}).text)
    # And who is invited by two portals is spoken to by each in its own.
    app_driver.do(invite_to_alpine, INVITEE)
    client_id = app_driver.client(INVITEE, ALPINE).id
    assert_in("de", nobody.get(app_driver.link(client_id, portal_id=ALPINE)).text)
    assert_in("ar", nobody.get(link).text)


def test_a_branding_s_language_is_one_of_those_that_are_tested() -> None:
    assert {language.value for language in Language} == {"en", *SAYS}
    assert ResolvedBranding("Harbour Tours").language == "en"
