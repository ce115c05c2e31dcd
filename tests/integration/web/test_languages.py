"""In which language invitees are spoken to: mails and pages in their portal's, complete, and in the right direction."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask
from flask_babel import force_locale
from werkzeug.test import TestResponse

from app.branding.resolved import ResolvedBranding
from app.core.links import LinkClaim, LinkKind, make_url
from app.db.transactions import transaction
from app.models import Branding, Language, Stage
from app.outbox.render import expiry_text
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, parse, words
from tests.support.factories import PASSWORD, invite, make_user
from tests.support.smtp import MailServer, Taken

INVITEE = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}

# As the catalogs have it: subject, what to press, a page's heading, a fault, a dead link, the verification mail.
SAYS = {
    "de": {
        "subject": "Harbour Tours lädt Nordwind Reisen in das Buchungsportal ein",
        "accept": "Einladung annehmen",
        "days": "Die Einladung ist 7 Tage gültig",
        "heading": "Nordwind Reisen ist zu Harbour Tours eingeladen",
        "short": "Das Passwort ist zu kurz: Verwenden Sie mindestens 12 Zeichen.",
        "no name": "Der Name fehlt. Geben Sie einen Namen mit 1 bis 100 Zeichen ein.",
        "withdrawn": "Diese Einladung wurde zurückgezogen",
        "verify": "Harbour Tours: Bestätigen Sie Ihre E-Mail-Adresse",
        "verify it": "Meine E-Mail-Adresse bestätigen",
        "verified": "Sie sind bei Harbour Tours dabei",
        "sign in": "Anmelden",
    },
    "fr": {
        "subject": "Harbour Tours invite Nordwind Reisen sur son portail de réservation",
        "accept": "Accepter l’invitation",
        "days": "L’invitation est valable 7 jours",
        "heading": "Nordwind Reisen est invité à rejoindre Harbour Tours",
        "short": "Le mot de passe est trop court : utilisez au moins 12 caractères.",
        "no name": "Le nom est vide. Saisissez un nom de 1 à 100 caractères.",
        "withdrawn": "Cette invitation a été retirée",
        "verify": "Harbour Tours : vérifiez votre adresse e-mail",
        "verify it": "Vérifier mon adresse e-mail",
        "verified": "Vous avez rejoint Harbour Tours",
        "sign in": "Se connecter",
    },
    "es": {
        "subject": "Harbour Tours invita a Nordwind Reisen a su portal de reservas",
        "accept": "Aceptar la invitación",
        "days": "La invitación es válida durante 7 días",
        "heading": "Invitación para Nordwind Reisen a Harbour Tours",
        "short": "La contraseña es demasiado corta: utilice al menos 12 caracteres.",
        "no name": "El nombre está vacío. Escriba un nombre de 1 a 100 caracteres.",
        "withdrawn": "Esta invitación se ha retirado",
        "verify": "Harbour Tours: verifique su dirección de correo electrónico",
        "verify it": "Verificar mi correo electrónico",
        "verified": "Ya forma parte de Harbour Tours",
        "sign in": "Iniciar sesión",
    },
    "ar": {
        "subject": "دعوة من Harbour Tours إلى Nordwind Reisen للانضمام إلى بوابة الحجز",
        "accept": "قبول الدعوة",
        "days": "الدعوة صالحة لمدة 7 أيام",
        "heading": "دعوة Nordwind Reisen إلى Harbour Tours",
        "short": "كلمة المرور قصيرة جدًا، والحد الأدنى لعدد أحرفها هو 12.",
        "no name": "الاسم فارغ. يرجى كتابة اسم يتكون من 1 إلى 100 حرف.",
        "withdrawn": "تم سحب هذه الدعوة",
        "verify": "تأكيد عنوان بريدك الإلكتروني لدى Harbour Tours",
        "verify it": "تأكيد بريدي الإلكتروني",
        "verified": "لقد انضممت إلى Harbour Tours",
        "sign in": "تسجيل الدخول",
    },
}
every_language = pytest.mark.parametrize("language", SAYS)
# Where nothing depends on the database, one will do.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def speaks(app: Flask) -> Callable[..., None]:
    """Lets a portal invite in a language, as when its branding is published."""

    def publish(language: str, portal_id: str = HARBOUR) -> None:
        with app.app_context(), transaction() as session:
            session.merge(Branding(portal_id=portal_id, stage=Stage.PUBLISHED, language=Language(language)))

    return publish


def assert_in(language: str, html: str) -> None:
    """A page or a mail says what it is in, and which way it is read."""
    direction = "rtl" if language == "ar" else "ltr"
    found = re.search(r'<html lang="(\w+)" dir="(\w+)"', html)
    assert found
    assert found.groups() == (language, direction)


def said(element: Tag) -> str:
    """Its words, without the marks that set names apart."""
    return words(element).replace("\u2068", "").replace("\u2069", "")


def heading(response: TestResponse) -> str:
    h1 = parse(response).h1
    assert h1
    return said(h1)


def faults(response: TestResponse) -> list[str]:
    return [words(fault) for fault in parse(response).select(".field-error") if words(fault)]


def verification_link(app_driver: AppDriver, email: str = INVITEE) -> str:
    user = app_driver.user(email)
    return str(app_driver.do(make_url, LinkKind.VERIFICATION, LinkClaim(str(user.id), user.verification_generation)))


def reset_link(app_driver: AppDriver, email: str = INVITEE) -> str:
    user = app_driver.user(email)
    return str(app_driver.do(make_url, LinkKind.PASSWORD_RESET, LinkClaim(str(user.id), user.reset_generation)))


# Mails


@every_language
def test_an_invitation_is_mailed_in_its_portal_s_language(
    language: str,
    speaks: Callable[..., None],
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
) -> None:
    speaks(language)
    client_id = app_driver.invite(INVITEE)
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    assert mail.message["Subject"] == SAYS[language]["subject"]
    assert mail.link == app_driver.link(client_id)
    assert_in(language, mail.html)
    assert SAYS[language]["accept"] in mail.html
    for part in (mail.text, mail.html):
        assert SAYS[language]["days"] in part.replace("\n", " ")
    assert_sendable(mail)


@every_language
def test_a_verification_is_mailed_in_the_language_of_the_portal(
    language: str,
    speaks: Callable[..., None],
    app_driver: AppDriver,
    outbox: Outbox,
    mail_server: MailServer,
    nobody: Browser,
) -> None:
    speaks(language)
    assert nobody.post(app_driver.link(app_driver.invite(INVITEE)), NORA).status_code == 303
    outbox.flush()
    mail = mail_server.wait_for(INVITEE)
    assert mail.message["Subject"] == SAYS[language]["verify"]
    assert mail.link == verification_link(app_driver)
    assert_in(language, mail.html)
    assert_sendable(mail)


@on_sqlite
def test_a_new_password_is_mailed_in_the_language_of_the_page_where_it_was_asked_for(
    app: Flask, speaks: Callable[..., None], app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    app_driver.do(make_user, INVITEE, "Nora Wind")
    invited = Browser(app)
    speaks("ar")
    invited.get(app_driver.link(app_driver.invite(INVITEE)))
    invited.post("/password-reset", {"email": INVITEE})
    outbox.flush()
    mail_server.wait_for(INVITEE, count=2)
    (mail,) = [mail for mail in mail_server.to(INVITEE) if "/password-reset/" in mail.text]
    assert mail.message["Subject"] == "اختيار كلمة مرور جديدة لحسابك في Bakuun"
    assert_in("ar", mail.html)
    assert_sendable(mail)


@on_sqlite
def test_portals_mails_of_one_moment_are_each_in_their_own_language(
    speaks: Callable[..., None], app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    speaks("ar")
    speaks("de", ALPINE)
    for n in range(8):
        app_driver.invite(f"harbour{n}@client.test")
        app_driver.do(_invite_to_alpine, f"alpine{n}@client.test")
    outbox.flush()
    for n in range(8):
        assert "حتى" in mail_server.wait_for(f"harbour{n}@client.test").text
        assert "bis zum" in mail_server.wait_for(f"alpine{n}@client.test").text


def _invite_to_alpine(email: str) -> None:
    invite(ALPINE, email, actor="olaf@alpine.test")


def assert_sendable(mail: Taken) -> None:
    """What any server passes on, and any mail program shows as it was meant: lines of sensible length."""
    lines = mail.raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    head = mail.raw.partition(b"\r\n\r\n")[0]
    assert head.isascii()
    (subject,) = re.findall(rb"^Subject: [^\r]*(?:\r\n [^\r]*)*", head, re.MULTILINE)
    assert max(map(len, subject.split(b"\r\n"))) <= 76  # RFC 2047, 2
    own = [line for line in mail.text.splitlines() if "://" not in line and "@" not in line]
    assert max(map(len, own)) <= 78


@on_sqlite
@pytest.mark.parametrize(
    "language,said",
    [
        ("en", "5 March 2026, 14:00 UTC"),
        ("de", "5. März 2026, 14:00 UTC"),
        ("fr", "5 mars 2026 à 14:00 UTC"),
        ("es", "5 de marzo de 2026, 14:00 UTC"),
        ("ar", "5 مارس 2026، الساعة 14:00 UTC"),
    ],
)
def test_dates_are_said_as_the_language_says_them(app: Flask, language: str, said: str) -> None:
    with app.app_context(), force_locale(language):
        assert expiry_text(datetime(2026, 3, 5, 14, 0, tzinfo=UTC)) == said


# Pages


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


@on_sqlite
@pytest.mark.parametrize(
    "wanted,language",
    [
        (None, "en"),
        ("de;q=0, FR;q=0.1", "fr"),
        ("it", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr-CA", "fr"),
        ("it, ar;q=0.5, es;q=0.4", "ar"),
        ("en-US,de;q=0.9", "en"),
        ("*", "en"),
        ("nonsense;;q=x", "en"),
    ],
)
def test_without_an_invitation_public_pages_are_in_what_the_browser_asks_for(
    nobody: Browser, wanted: str | None, language: str
) -> None:
    headers = {"Accept-Language": wanted} if wanted else {}
    for path in ("/login", "/password-reset", "/verify-email", "/verified", "/no/such/page", "/invitations/cut-off"):
        assert_in(language, nobody.get(path, headers=headers).text)


@on_sqlite
def test_client_admins_pages_are_in_english_whatever_the_browser_says(
    speaks: Callable[..., None], app_driver: AppDriver, admin: Browser
) -> None:
    speaks("ar")
    admin.get(app_driver.link(app_driver.invite(INVITEE)))  # to see what clients see
    german = {"Accept-Language": "de"}
    assert_in("ar", admin.get("/portals", headers=german).text)
    for path in ("accounts", "accounts/imported-clients", "email"):
        assert_in("en", admin.get(f"/portals/{HARBOUR}/settings/{path}", headers=german).text)


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
    app_driver.do(_invite_to_alpine, INVITEE)
    client_id = app_driver.client(INVITEE, ALPINE).id
    assert_in("de", nobody.get(app_driver.link(client_id, portal_id=ALPINE)).text)
    assert_in("ar", nobody.get(link).text)


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
    seen += [nora.post("/login", {"email": INVITEE, "password": "no"}) for _n in range(11)]
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
    seen += [owner.get("/verified"), owner.get("/portals"), owner.get(to_zoe)]

    assert {answer.status_code for answer in seen} == {200, 400, 404, 405, 409, 410, 422, 429}
    for answer in seen:
        assert_in("ar", answer.text)
        assert english(words(parse(answer))) == [], answer.request.path
        for hidden in parse(answer).select("[aria-label], [placeholder], [title]"):
            assert english(" ".join(str(hidden.get(name, "")) for name in ("aria-label", "placeholder", "title"))) == []
    for mail in mail_server.mails:
        assert english(mail.text) == []
        assert english(words(parse_html(mail.html))) == []


# Names, addresses, a zone, and the code point of a character that a name may not hold.
NOT_ENGLISH = re.compile(
    r"https?://\S+|\S+@\S+|Harbour Tours|Nordwind Reisen|Nora Wind|Zoe Ray|Ada Berg|B-Portal|Bakuun|UTC|„?\w*wind\w*|"
    r"U\+\w+[A-Z -]*|harbour"
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
    assert [words(name) for name in page.select("h1 bdi")] == ["Nordwind Reisen", "Harbour Tours"]
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


def test_a_face_s_language_is_one_of_those_that_are_tested() -> None:
    assert {language.value for language in Language} == {"en", *SAYS}
    assert ResolvedBranding("Harbour Tours").language == "en"
