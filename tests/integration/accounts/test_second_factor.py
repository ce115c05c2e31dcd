"""Setting up an authenticator app and signing in with it, by forms alone; the notices of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import time_machine
from flask import Flask

from app.accounts.security.own_factors import key_in_set_up
from app.db.transactions import transaction
from app.extensions import db
from app.models import LoginSession, PendingSignIn, RecoveryCode, TotpKey
from tests.conftest import HARBOUR, Outbox
from tests.integration.accounts.guessing import SAM, reset_password
from tests.integration.accounts.owner import change_password, kept_in, sign_in_with, token_of
from tests.integration.accounts.phone import (
    PAGE,
    STEP,
    at_middle_of_step,
    begin,
    codes_on,
    give,
    password_only,
    protected,
    scanned,
)
from tests.integration.accounts.signing_in import ADA, is_signed_in
from tests.support.browser import Browser, field_errors, ic, parse, words
from tests.support.databases import everything
from tests.support.factories import OTHER_PASSWORD, PASSWORD
from tests.support.shell import hand_over, register, says, signed
from tests.support.smtp import MailServer

SUBJECT = "The second factor of your Bakuun account"
LANDING = f"/portals/{HARBOUR}/settings/accounts"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(at_middle_of_step(), tick=False) as clock:
        yield clock


def told_by_mail(outbox: Outbox, mail_server: MailServer) -> str:
    """What the notices say to Ada, without line breaks."""
    outbox.flush()
    notices = [mail.text for mail in mail_server.to(ADA) if mail.message["Subject"] == SUBJECT]
    return " ".join(" ".join(notices).split())


def left(browser: Browser) -> str:
    return words(parse(browser.get("/account")).select_one("[aria-labelledby=second-factor-title]"))


# --- setting up ----------------------------------------------------------------------------------


def test_an_app_is_set_up_with_the_password_and_a_first_code(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    browser = sign_in_with(app)
    refused = browser.post(PAGE, {"password": "not the right one"})
    assert (refused.status_code, list(field_errors(refused))) == (422, ["password"])
    phone = begin(browser)
    page = parse(browser.get(PAGE))
    assert page.select_one(".qr-frame[role=img] svg path")
    assert page.select_one("a[href^='otpauth://totp/Bakuun:ada%40harbour.test?']")
    # A wrong code keeps the key, and nothing counts yet.
    wrong = browser.post(f"{PAGE}/confirm", {"code": phone.code(-90)})
    assert (wrong.status_code, scanned(wrong)) == (422, phone.key)
    assert "check that your phone sets its clock by itself" in wrong.text
    assert Browser(app).sign_in(ADA, PASSWORD).location == LANDING
    done = browser.post(f"{PAGE}/confirm", {"code": phone.code()})
    codes = codes_on(done)
    assert len(set(codes)) == 10
    assert phone.key not in done.text
    assert told_by_mail(outbox, mail_server).count("now asks for a code besides the password") == 1
    assert "10 recovery codes are left." in left(browser)
    for path in (PAGE, "/account", f"{PAGE}/recovery-codes", f"{PAGE}/remove"):
        text = browser.get(path).text
        assert not [shown for shown in (phone.key, *codes) if shown in text], path
    # The page of the codes once more, or the set-up from another tab.
    again = browser.post(f"{PAGE}/confirm", {"code": phone.code(30)})
    assert again.location == PAGE
    assert browser.post(PAGE, {"password": PASSWORD}).status_code == 409


def test_a_set_up_ends_with_its_session_after_half_an_hour_or_when_it_is_cancelled(
    app: Flask, clock: time_machine.Traveller
) -> None:
    browser = sign_in_with(app)
    phone = begin(browser)
    browser.post(f"{PAGE}/cancel")
    assert browser.post(f"{PAGE}/confirm", {"code": phone.code()}).location == PAGE
    assert "This set-up has ended" in browser.get(PAGE).text
    kept = begin(browser)
    cookie = kept_in(browser)
    assert kept.key not in str(cookie)
    with app.app_context():
        assert key_in_set_up(cookie["totp_set_up"], token_of(browser)) == kept.key
        assert key_in_set_up(cookie["totp_set_up"], "of another session") is None
    clock.shift(30 * 60)
    assert browser.post(f"{PAGE}/confirm", {"code": kept.code()}).location == PAGE
    last = begin(browser)
    change_password(browser)
    assert browser.post(f"{PAGE}/confirm", {"code": last.code()}).location == PAGE
    assert not parse(browser.get(PAGE)).select("code.key")


def test_the_recovery_codes_are_downloaded_from_their_page(app: Flask) -> None:
    browser = sign_in_with(app)
    page = browser.post(f"{PAGE}/confirm", {"code": begin(browser).code()})
    form = parse(page).select_one("form[action$='.txt']")
    codes = [field["value"] for field in form.select("[name=code]")]
    assert codes == codes_on(page)
    file = browser.post(form["action"], {"code": codes})
    assert file.headers["Content-Disposition"] == "attachment; filename=recovery-codes.txt"
    assert file.headers["Content-Type"].startswith("text/plain")
    assert [line for line in file.text.splitlines() if line.count("-") == 3] == codes
    assert ADA in file.text
    # Nobody else's words come back as a file of ours.
    assert browser.post(form["action"], {"code": ["<script>", "a" * 17, "call 555-0100"]}).status_code == 404


# --- signing in ----------------------------------------------------------------------------------


def test_the_session_begins_after_the_code_and_leads_where_one_wanted_to_go(app: Flask) -> None:
    phone = protected(app).phone
    browser = password_only(app, next=f"{ic(HARBOUR)}?q=x")
    assert not is_signed_in(browser)
    page = parse(browser.get(f"{STEP}?next={ic(HARBOUR)}"))
    field = page.select_one("input[name=code]")
    assert (field["autocomplete"], field["inputmode"]) == ("one-time-code", "numeric")
    wrong = give(browser, "000000", next=ic(HARBOUR))
    assert (wrong.status_code, list(field_errors(wrong))) == (422, ["code"])
    assert parse(wrong).select_one("[name=next]")["value"] == ic(HARBOUR)
    assert give(browser, " ", next=ic(HARBOUR)).status_code == 422
    assert not is_signed_in(browser)
    before = browser.client.get_cookie("session")
    assert give(browser, phone.code(), next=ic(HARBOUR)).location == ic(HARBOUR)
    assert is_signed_in(browser)
    assert before != browser.client.get_cookie("session")
    assert browser.get("/login").location == LANDING


def test_it_leads_nowhere_else(app: Flask) -> None:
    codes = iter(protected(app).codes)
    for elsewhere in ("https://evil.test/", "//evil.test", "/\\evil.test"):
        browser = password_only(app, next=elsewhere)
        assert give(browser, next(codes), next=elsewhere).location == LANDING, elsewhere


def test_clocks_may_differ_by_half_a_minute_and_no_code_counts_twice(app: Flask, clock: time_machine.Traveller) -> None:
    phone = protected(app).phone
    clock.shift(300)
    assert give(password_only(app), phone.code(-60)).status_code == 422
    assert give(password_only(app), phone.code(60)).status_code == 422
    assert give(password_only(app), phone.code(-30)).status_code == 303
    for seconds in (0, 30):
        assert give(password_only(app), phone.code(seconds)).status_code == 303
        used = give(password_only(app), phone.code(seconds))
        assert (used.status_code, "each code works only once" in used.text) == (422, True)
    # The clock of the next code is the phone's, which is ahead: the present code is older than one that was used.
    assert give(password_only(app), phone.code(0)).status_code == 422


def test_a_recovery_code_signs_in_once_and_its_owner_is_told(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    codes = protected(app).codes
    browser = password_only(app)
    page = parse(browser.get(f"{STEP}?recovery="))
    assert page.select_one("input[name=code]")["inputmode"] == "text"
    # As somebody reads it from paper.
    read = codes[0].upper().replace("-", " ").replace("0", "O").replace("1", "l")
    assert give(browser, read).status_code == 303
    assert give(password_only(app), codes[0]).status_code == 422
    assert "9 recovery codes are left." in left(browser)
    assert "A recovery code of the Bakuun account" in told_by_mail(outbox, mail_server)
    assert "9 recovery codes are left." in told_by_mail(outbox, mail_server)
    for code in codes[1:7]:
        give(password_only(app), code)
    assert "notice warning" in browser.get("/account").text
    assert "3 recovery codes are left." in left(browser)


def test_a_pending_sign_in_ends_after_ten_minutes_and_says_so(app: Flask, clock: time_machine.Traveller) -> None:
    phone = protected(app).phone
    browser = password_only(app)
    clock.shift(9 * 60 + 59)
    assert browser.get(STEP).status_code == 200
    clock.shift(1)
    late = give(browser, phone.code(), next=ic(HARBOUR))
    assert late.location == f"/login?next={ic(HARBOUR)}&again="
    assert "The second step was not finished in time." in browser.get(late.location).text
    assert not is_signed_in(browser)
    assert Browser(app).get(f"{STEP}?next=//evil.test").location == "/login?again="


def test_the_step_opens_nothing_by_itself(app: Flask) -> None:
    protected(app)
    browser = password_only(app)
    for path in ("/account", "/portals", PAGE, ic(HARBOUR)):
        assert browser.get(path).location.startswith("/login?next="), path
    with app.app_context():
        assert db.session.query(LoginSession).filter(LoginSession.confirmed_at.is_(None)).count() == 0


def test_a_second_press_of_the_button_does_no_harm(app: Flask) -> None:
    phone = protected(app).phone
    browser = password_only(app)
    slow = browser.twin()
    assert give(browser, phone.code()).location == LANDING
    again = give(slow, phone.code())
    assert again.location == "/login?again="
    # The answer that comes last leaves the session that the first one has begun.
    assert "Set-Cookie" not in again.headers


# --- changing and removing -----------------------------------------------------------------------


@pytest.mark.parametrize("by", ["password", "code", "recovery code"])
def test_it_is_removed_by_the_password_or_a_code(app: Flask, outbox: Outbox, mail_server: MailServer, by: str) -> None:
    owner = protected(app)
    other = password_only(app)
    given = {"password": {"password": PASSWORD}, "code": {"code": owner.phone.code()}}
    form = given.get(by, {"code": owner.codes[3]})
    for wrong in ({}, {"password": "not the right one"}, {"code": "123456"}, {"password": PASSWORD, "code": "123456"}):
        assert owner.browser.post(f"{PAGE}/remove", wrong).status_code == 422
    assert owner.browser.post(f"{PAGE}/remove", form).location == "/account"
    assert is_signed_in(owner.browser)
    assert "was removed on" in told_by_mail(outbox, mail_server)
    assert "The password alone is enough" in told_by_mail(outbox, mail_server)
    with app.app_context():
        assert [db.session.query(one).count() for one in (TotpKey, RecoveryCode, PendingSignIn)] == [0, 0, 0]
    assert give(other, owner.phone.code()).location == "/login?again="
    assert Browser(app).sign_in(ADA, PASSWORD).location == LANDING
    assert owner.browser.get(f"{PAGE}/remove").location == PAGE


def test_new_recovery_codes_take_the_place_of_the_earlier_ones(
    app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    owner = protected(app)
    assert owner.browser.post(f"{PAGE}/recovery-codes", {"password": "not the right one"}).status_code == 422
    page = owner.browser.post(f"{PAGE}/recovery-codes", {"password": PASSWORD})
    new = codes_on(page)
    assert len({*new, *owner.codes}) == 20
    assert "New recovery codes were made" in told_by_mail(outbox, mail_server)
    assert give(password_only(app), owner.codes[0]).status_code == 422
    assert give(password_only(app), new[0]).status_code == 303


def test_a_change_by_an_ended_session_does_nothing(app: Flask) -> None:
    owner = protected(app)
    other = password_only(app)
    assert give(other, owner.phone.code()).status_code == 303
    other.post("/account/sessions/end-others")
    for path in ("remove", "recovery-codes"):
        assert owner.browser.post(f"{PAGE}/{path}", {"code": owner.codes[0]}).location == "/login?ended="
    with app.app_context():
        assert db.session.query(RecoveryCode).count() == 10


# --- passwords, and who has to do with none of it ------------------------------------------------


def test_a_reset_and_a_change_of_the_password_keep_it(app: Flask, outbox: Outbox, mail_server: MailServer) -> None:
    owner = protected(app)
    waiting = password_only(app)
    forgetful = Browser(app)
    reset_password(forgetful, outbox, mail_server)
    assert not is_signed_in(forgetful)
    # Whoever gave the former password has to give the new one.
    assert give(waiting, owner.phone.code()).location == "/login?again="
    browser = password_only(app, password=OTHER_PASSWORD)
    assert give(browser, owner.phone.code()).status_code == 303
    changed = change_password(browser, current_password=OTHER_PASSWORD, new_password="a third one of these words")
    assert changed.status_code == 303
    password_only(app, password="a third one of these words")


def test_people_of_a_shell_are_never_asked_and_never_see_it(app: Flask, nobody: Browser) -> None:
    register(app, HARBOUR)
    protected(app)
    handed = Browser(app)
    assert hand_over(handed, signed(says(email=ADA))).status_code == 303
    assert handed.get(ic(HARBOUR)).status_code == 200
    missing = nobody.get("/no/such/page")
    for path in (PAGE, f"{PAGE}/remove", f"{PAGE}/recovery-codes"):
        assert handed.get(path).data == missing.data
        assert handed.post(path, {"password": PASSWORD}).status_code == 404


def test_known_and_unknown_accounts_get_the_same_answer_to_a_wrong_password(app: Flask) -> None:
    protected(app)
    answers = [Browser(app).sign_in(email, "not the right one") for email in (ADA, SAM, "nobody@harbour.test")]
    assert {(one.status_code, words(parse(one).h1)) for one in answers} == {(422, "Sign in")}


# --- what is kept --------------------------------------------------------------------------------


def test_neither_key_nor_codes_are_kept_or_logged(
    app: Flask, outbox: Outbox, mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    owner = protected(app)
    browser = password_only(app)
    give(browser, "123456")
    typed = owner.phone.code()
    give(browser, typed)
    give(password_only(app), owner.codes[0])
    # A form that is too old, and shows what was typed.
    old = browser.send("POST", STEP, {"code": owner.codes[1], "csrf_token": "old"}, csrf=False)
    assert old.status_code == 400
    assert owner.codes[1] not in old.text
    outbox.flush()
    stored = everything(app)
    secrets = [owner.phone.key, *owner.codes, *(code.replace("-", "") for code in owner.codes)]
    mails = "".join(mail.text + mail.html for mail in mail_server.mails)
    logged = "".join(str(vars(record)) for record in caplog.records)
    for place in (stored, mails, logged):
        assert not [one for one in secrets if one in place]
    assert f"'{typed}'" not in logged


def test_a_key_that_no_secret_key_opens_leaves_the_recovery_codes(app: Flask) -> None:
    owner = protected(app)
    with app.app_context(), transaction() as session:
        session.query(TotpKey).update({"encrypted_key": "of another deployment"})
    assert give(password_only(app), owner.phone.code()).status_code == 422
    assert give(password_only(app), owner.codes[0]).status_code == 303


def test_somebody_else_s_app_opens_nothing(app: Flask) -> None:
    owner, other = protected(app), protected(app, SAM)
    assert give(password_only(app), other.phone.code()).status_code == 422
    assert give(password_only(app), other.codes[0]).status_code == 422
    assert give(password_only(app, SAM), owner.codes[0]).status_code == 422
