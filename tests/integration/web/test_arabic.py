"""Arabic invitees find nothing left in English, and each sentence in the right direction."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bs4 import BeautifulSoup
from flask import Flask

from app.core.links import LinkClaim, LinkKind, make_url
from tests.conftest import Outbox
from tests.integration.web.languages import (
    INVITEE,
    NORA,
    assert_in,
    on_sqlite,
    verification_link,
)
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, words
from tests.support.factories import PASSWORD, counted_as, make_user
from tests.support.smtp import MailServer


def reset_link(app_driver: AppDriver, email: str = INVITEE) -> str:
    user = app_driver.user(email)
    return str(app_driver.do(make_url, LinkKind.PASSWORD_RESET, LinkClaim(str(user.id), user.reset_generation)))


# Nothing in English


@on_sqlite
def test_nothing_on_an_arabic_invitee_s_way_is_left_in_english(
    app: Flask, speaks: Callable[..., None], app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    speaks("ar")
    nora, zoe, owner = Browser(app), Browser(app), Browser(app)
    invitation = app_driver.link(app_driver.invite(INVITEE))
    expired, replaced, gone = (app_driver.invite(f"{name}@client.test") for name in ("expired", "replaced", "gone"))
    app_driver.let_link_lapse(expired, datetime.now(UTC) - timedelta(days=1))
    app_driver.resend(replaced)
    app_driver.remove(gone)
    app_driver.do(make_user, "zoe@client.test", "Zoe Ray", verified=False)
    to_zoe = app_driver.link(app_driver.invite("zoe@client.test"))

    seen = [
        nora.get(invitation),
        nora.post(invitation, {"name": "<Nora>", "password": "Nordwind Nordwind"}),
        nora.post(invitation, {"name": "x" * 101, "password": "x" * 129}),
        nora.post(invitation, {"name": "N\n", "password": "password1234"}),
        nora.post(invitation, NORA, csrf=False),
        *(nora.get(app_driver.link(client_id)) for client_id in (expired, replaced, gone)),
        nora.get(to_zoe),
    ]
    nora.post(invitation, NORA)
    first = verification_link(app_driver)
    seen += [nora.get("/verify-email"), nora.get(invitation), nora.get(first)]
    zoe.get(to_zoe)
    zoe.sign_in("zoe@client.test", PASSWORD)
    seen += [zoe.get(to_zoe), zoe.get("/verify-email"), zoe.post(to_zoe)]
    zoe.post("/verify-email")
    seen += [zoe.get("/verify-email?sent=1"), zoe.get(invitation)]
    outbox.flush()
    nora.post(first)
    seen += [nora.get("/verified"), nora.get(first), nora.post("/login"), nora.get("/login?reset=1")]
    with counted_as(app, 9):
        seen += [nora.post("/login", {"email": INVITEE, "password": "no"})]
    seen += [nora.post("/login", {"email": INVITEE, "password": "no"}) for _n in range(2)]
    nora.post("/password-reset", {"email": INVITEE})
    outbox.flush()
    reset = reset_link(app_driver)
    seen += [nora.get("/password-reset?sent=1"), nora.get(reset), nora.post(reset, {"password": "short"})]
    nora.post(reset, {"password": PASSWORD})
    seen += [nora.get(reset), nora.get("/no/such/page"), nora.client.delete("/login")]
    owner.get(invitation)
    owner.sign_in("zoe@client.test", PASSWORD)
    seen += [owner.get(verification_link(app_driver, "zoe@client.test"))]
    owner.post(verification_link(app_driver, "zoe@client.test"))
    seen += [owner.get("/verified"), owner.get("/portals"), owner.get("/account"), owner.get(to_zoe)]

    assert {answer.status_code for answer in seen} == {200, 400, 404, 405, 409, 410, 422, 429}
    for answer in seen:
        assert_in("ar", answer.text)
        page = parse(answer)
        for own_name in page.select("option[lang]"):
            own_name.decompose()
        assert english(words(page)) == [], answer.request.path
        for hidden in parse(answer).select("[aria-label], [placeholder], [title]"):
            assert english(" ".join(str(hidden.get(name, "")) for name in ("aria-label", "placeholder", "title"))) == []
    for mail in mail_server.mails:
        assert english(mail.text) == []
        assert english(words(parse_html(mail.html))) == []


# Names, addresses, a zone, and the code point of a character that a name may not hold.
NOT_ENGLISH = re.compile(
    r"https?://\S+|\S+@\S+|Harbour Tours|Nordwind Reisen|Nora Wind|Zoe Ray|Ada Berg|B-Portal|Bakuun|UTC|PIN|https|"
    r"„?\w*wind\w*|U\+\w+[A-Z -]*|harbour"
)


def english(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]{2,}", NOT_ENGLISH.sub("", text))


def parse_html(html: str) -> BeautifulSoup:
    soup = BeautifulSoup(html, "html.parser")
    for unseen in soup.select("style"):
        unseen.decompose()
    return soup


# Direction


@on_sqlite
def test_names_do_not_turn_a_sentence_around_and_addresses_stay_as_they_are_written(
    speaks: Callable[..., None], app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, nobody: Browser
) -> None:
    speaks("ar")
    page = parse(nobody.get(app_driver.link(app_driver.invite(INVITEE))))
    assert [words(name) for name in page.select("h1 bdi")] == ["Harbour Tours", "Nordwind Reisen"]
    assert [words(address) for address in page.select("main [dir=ltr]:not(input)")] == ["ada@harbour.test", INVITEE]
    assert page.select_one("[name=password]")["dir"] == "ltr"
    assert page.select_one("[name=name]")["dir"] == "auto"
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    for name in ("Harbour Tours", "Nordwind Reisen", "Ada Berg", INVITEE, "ada@harbour.test"):
        assert mail.text.count(name) == mail.text.count(f"\u2068{name}\u2069") > 0
    html = mail.html
    for address in (INVITEE, "ada@harbour.test"):
        assert html.count(address) == len(re.findall(rf'dir="ltr"[^>]*>{address}', html))
