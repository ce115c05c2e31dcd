"""Settings → Branding: a draft that admins look at, and what clients see once it is published."""

from __future__ import annotations

import io
import re
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from app.db.transactions import transaction
from app.extensions import db
from app.models import Branding, Logo
from tests.conftest import ALPINE, HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, field_errors, parse, path_of, words
from tests.support.smtp import MailServer, Taken

BRANDING = f"/portals/{HARBOUR}/settings/branding"
INVITEE = "info@nordwind.test"

DESIGN = {
    "display_name": "Harbour & Friends",
    "accent": "#FFCC00",
    "support_address": "Help@Harbour.test",
    "language": "en",
    "subject": "{inviter} asks {company} aboard {portal}",
    "greeting": "Dear <friends> at {company},\r\nplease join {portal} by {expiry}.",
}


def picture(colour: str = "teal", size: tuple[int, int] = (300, 100)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def upload(admin: Browser, data: bytes, name: str = "logo.png", **kwargs: Any) -> TestResponse:
    return admin.post(f"{BRANDING}/logo", {"logo": (io.BytesIO(data), name)}, **kwargs)


def publish(admin: Browser, **changes: str) -> None:
    answer = admin.post(f"{BRANDING}/publish", DESIGN | changes)
    assert (answer.status_code, answer.location) == (303, BRANDING)


@pytest.fixture
def invited(app_driver: AppDriver, outbox: Outbox, mail_server: MailServer) -> Any:
    def invite(email: str = INVITEE) -> Taken:
        app_driver.invite(email)
        outbox.flush()
        return mail_server.wait_for(email)

    return invite


def test_a_draft_is_for_admins_only_until_it_is_published(admin: Browser, invited: Any, app: Flask) -> None:
    assert admin.post(BRANDING, DESIGN).status_code == 303
    page = parse(admin.get(BRANDING))
    assert page.select_one("#display_name")["value"] == "Harbour & Friends"
    assert "Draft saved" in words(page)
    assert "Harbour &amp; Friends" in admin.get(f"{BRANDING}/preview/mail").text

    before = invited()
    assert "Friends" not in before.html + before.text + str(before.message["Subject"])
    assert "Friends" not in Browser(app).get(path_of(before.link)).text

    publish(admin)
    assert "No unpublished changes" in words(parse(admin.get(BRANDING)))
    after = invited("second@nordwind.test")
    assert "Harbour & Friends" in after.text
    # The page of a mail that was sent before, too.
    assert "Harbour &amp; Friends" in Browser(app).get(path_of(before.link)).text


def test_what_is_published_is_in_the_mail_and_on_every_page_behind_it(
    admin: Browser, invited: Any, app: Flask, app_driver: AppDriver
) -> None:
    assert upload(admin, picture()).status_code == 303
    publish(admin)
    mail = invited()
    company = app_driver.client(INVITEE).company_name
    assert mail.message["Subject"] == f"Ada Berg asks {company} aboard Harbour & Friends"
    assert f"Dear <friends> at {company},\nplease join Harbour & Friends by" in mail.text
    assert f"Dear &lt;friends&gt; at {company},<br>please join Harbour &amp; Friends by" in mail.html
    assert "Write to help@harbour.test" in words_of(mail.text)
    assert "#ffcc00" in mail.html
    assert re.search(r"background-color: ?#ffcc00; ?color: ?#000000", mail.html)

    visitor = Browser(app)
    page = visitor.get(path_of(mail.link))
    assert f"Dear &lt;friends&gt; at {company}," in page.text
    assert_wears(page)
    assert visitor.post(path_of(mail.link), {"name": "Ines", "password": "correct horse battery"}).status_code == 303
    assert_wears(visitor.get("/verify-email"))
    assert_wears(visitor.get(path_of(mail.link)), status=410)


def words_of(text: str) -> str:
    return " ".join(text.split())


def assert_wears(page: TestResponse, status: int = 200) -> None:
    """The portal's logo and colour, and where to ask."""
    assert page.status_code == status
    document = parse(page)
    (logo,) = document.select("p.brand img")
    assert logo["alt"] == "Harbour & Friends"
    assert document.select_one('link[href="/brand/ffcc00.css"]')
    assert "help@harbour.test" in words(document)


def test_the_logo_stands_in_the_mail_itself(admin: Browser, invited: Any) -> None:
    assert upload(admin, picture("navy", (960, 320))).status_code == 303
    publish(admin)
    mail = invited()
    assert mail.message.get_content_type() == "multipart/alternative"
    plain, related = mail.message.iter_parts()
    assert (plain.get_content_type(), related.get_content_type()) == ("text/plain", "multipart/related")
    html, image = related.iter_parts()
    assert (html.get_content_type(), image.get_content_type()) == ("text/html", "image/png")
    content_id = image["Content-ID"].strip("<>")
    assert f'src="cid:{content_id}"' in mail.html
    assert 'alt="Harbour &amp; Friends"' in mail.html
    assert image.get_content_disposition() == "inline"
    shown = Image.open(io.BytesIO(image.get_content()))
    assert (shown.size, shown.convert("RGB").getpixel((3, 3))) == ((480, 160), (0, 0, 128))
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998


def test_the_verification_mail_has_the_portal_s_branding_too(
    admin: Browser, invited: Any, app: Flask, outbox: Outbox, mail_server: MailServer
) -> None:
    publish(admin)
    Browser(app).post(path_of(invited().link), {"name": "Ines", "password": "correct horse battery"})
    outbox.flush()
    mail = mail_server.wait_for(INVITEE, count=2)
    assert mail.message["Subject"] == "Harbour & Friends: verify your email address"
    assert "Dear" not in mail.text
    assert "#ffcc00" in mail.html


def test_discarding_goes_back_to_what_is_published(admin: Browser) -> None:
    publish(admin)
    assert admin.post(BRANDING, DESIGN | {"display_name": "Another"}).status_code == 303
    assert admin.post(f"{BRANDING}/discard").status_code == 303
    page = parse(admin.get(BRANDING))
    assert page.select_one("#display_name")["value"] == "Harbour & Friends"
    assert "Draft discarded" in words(page)


def test_subject_and_greeting_can_be_reset_and_the_rest_of_the_draft_stays(admin: Browser) -> None:
    assert admin.post(f"{BRANDING}/reset-words", DESIGN).status_code == 303
    page = parse(admin.get(BRANDING))
    assert page.select_one("#subject")["value"] == ""
    assert words(page.select_one("#greeting")) == ""
    assert page.select_one("#display_name")["value"] == "Harbour & Friends"
    assert "You are invited to Harbour &amp; Friends" in normal(admin.get(f"{BRANDING}/preview/mail").text)


def normal(html: str) -> str:
    return re.sub(r"</?span[^>]*>", "", html)


def test_what_is_left_empty_is_as_the_service_has_it(admin: Browser, invited: Any) -> None:
    publish(admin)
    publish(admin, **dict.fromkeys(["display_name", "accent", "support_address", "subject", "greeting"], " "))
    mail = invited()
    assert str(mail.message["Subject"]).startswith("Harbour Tours invites ")
    assert "Hello," in mail.text
    assert "#0f5fa8" in mail.html
    assert "Questions?" not in mail.text


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"accent": "reddish"}, "accent", "Enter a colour like #0f5fa8"),
        ({"display_name": "x" * 101}, "display_name", "100"),
        ({"display_name": "A\u202eB"}, "display_name", ""),
        ({"support_address": "nobody"}, "support_address", ""),
        ({"support_address": "a@b.test, c@d.test"}, "support_address", ""),
        ({"language": "tlh"}, "language", ""),
        ({"subject": "{firma}"}, "subject", "{firma} isn't a placeholder"),
        ({"subject": "x" * 151}, "subject", "151 characters; the limit is 150"),
        ({"greeting": "x" * 801}, "greeting", "801 characters; the limit is 800"),
        ({"greeting": "Dear {company"}, "greeting", "{ isn't a placeholder"),
        ({"greeting": "see https://evil.test/"}, "greeting", "Leave out web and email addresses"),
        ({"subject": "Visit evil。example"}, "subject", "Leave out web and email addresses"),
        ({"greeting": "1.2.3.4:8080/login"}, "greeting", "Leave out web and email addresses"),
        # A company "evil" of a portal "example" would make an address of it.
        ({"greeting": "{company}.{portal}"}, "greeting", "Leave out web and email addresses"),
        ({"greeting": "Go to {company}com/login"}, "greeting", "Put a space before and after {company}"),
        ({"subject": "Welcome to evil{portal}"}, "subject", "Put a space before and after {portal}"),
        ({"greeting": "Go to {company}:8080/login"}, "greeting", "Put a space before and after {company}"),
        ({"greeting": "a\u200bb"}, "greeting", "invisible character"),
    ],
)
@pytest.mark.parametrize("action", ["", "/publish"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_cannot_be_used_is_said_beside_its_field_and_nothing_is_lost(
    admin: Browser, app_driver: AppDriver, changes: dict[str, str], field: str, sentence: str, action: str
) -> None:
    answer = admin.post(BRANDING + action, DESIGN | changes)
    assert answer.status_code == 422
    assert list(field_errors(answer)) == [field]
    assert sentence in field_errors(answer)[field]
    # What was typed is still there, the bad included.
    page = parse(answer)
    typed = DESIGN | changes
    assert page.select_one("#greeting").text.split() == typed["greeting"].split()
    for name in {"display_name", "subject"} - {field}:
        assert page.select_one(f"#{name}")["value"] == typed[name]
    assert app_driver.do(lambda: db.session.scalar(select(func.count()).select_from(Branding))) == 0


def test_a_line_break_in_a_subject_becomes_a_space(admin: Browser, invited: Any) -> None:
    publish(admin, subject="Come aboard\r\nBcc: all@evil.test.invalid"[:11] + "\r\n {company}")
    assert "\n" not in str(invited().message["Subject"])


@pytest.mark.parametrize(
    ("data", "name", "status", "sentence"),
    [
        (b"", "", 422, "Choose a picture first"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "logo.svg", 422, "SVG files can't be used"),
        (b"not a picture", "logo.png", 422, "This file can't be read as a picture"),
        (b"x" * (2 * 1024 * 1024 + 1), "logo.png", 422, "larger than 2 MB"),
        (b"x" * (3 * 1024 * 1024), "logo.png", 413, "larger than 2 MB"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_logo_that_cannot_be_used_is_refused_beside_its_field(
    admin: Browser, app_driver: AppDriver, data: bytes, name: str, status: int, sentence: str
) -> None:
    answer = upload(admin, data, name)
    assert answer.status_code == status
    assert sentence in field_errors(answer)["logo"]
    assert app_driver.do(lambda: db.session.scalar(select(func.count()).select_from(Logo))) == 0


def test_htmx_gets_the_logos_part_of_the_page_alone(admin: Browser) -> None:
    file = {"logo": (io.BytesIO(picture()), "logo.png")}
    kept = admin.post(f"{BRANDING}/logo", file, htmx=True)
    assert (kept.status_code, kept.headers["HX-Trigger"]) == (200, "logo-changed")
    assert [form["id"] for form in parse(kept).select("form, main")] == ["logo-form"]
    assert parse(kept).select_one("img") is not None
    refused = admin.post(f"{BRANDING}/logo", {"logo": (io.BytesIO(b"no picture"), "logo.png")}, htmx=True)
    assert refused.status_code == 422
    assert list(field_errors(refused)) == ["logo"]
    too_large = admin.post(f"{BRANDING}/logo", {"logo": (io.BytesIO(b"x" * 3 * 2**20), "logo.png")}, htmx=True)
    assert (too_large.status_code, list(field_errors(too_large))) == (413, ["logo"])


def logo_ids(app_driver: AppDriver) -> list[UUID]:
    return list(app_driver.do(lambda: db.session.scalars(select(Logo.id)).all()))


def test_no_logo_is_kept_that_nobody_uses(admin: Browser, app_driver: AppDriver) -> None:
    upload(admin, picture())
    publish(admin)
    (published,) = logo_ids(app_driver)
    upload(admin, picture("navy"))
    upload(admin, picture("red"))
    assert published in logo_ids(app_driver)
    assert len(logo_ids(app_driver)) == 2
    admin.post(f"{BRANDING}/discard")
    assert logo_ids(app_driver) == [published]
    admin.post(f"{BRANDING}/logo/remove")
    assert logo_ids(app_driver) == [published]
    publish(admin)
    assert logo_ids(app_driver) == []


def test_a_logo_s_address_serves_a_picture_and_nothing_else(admin: Browser, app_driver: AppDriver, app: Flask) -> None:
    upload(admin, picture())
    (logo_id,) = logo_ids(app_driver)
    anybody = Browser(app)
    answer = anybody.get(f"/brand/logos/{logo_id}.png")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert (answer.status_code, answer.content_type) == (200, "image/png")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in answer.headers["Cache-Control"]
    assert "Set-Cookie" not in answer.headers
    assert anybody.get("/brand/logos/00000000-0000-0000-0000-000000000000.png").status_code == 404


@pytest.mark.parametrize("colour", ["fff", "FFCC00", "gggggg", "ffcc00}", "ffcc0"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_only_a_whole_colour_has_a_style_sheet(app: Flask, colour: str) -> None:
    assert Browser(app).get(f"/brand/{colour}.css").status_code == 404
    assert Browser(app).get("/brand/ffcc00.css").content_type == "text/css; charset=utf-8"


def test_typing_keeps_the_draft_and_answers_with_the_preview(admin: Browser) -> None:
    frames = parse(admin.post(BRANDING, DESIGN, htmx=True)).select("iframe")
    assert len(frames) == 6
    assert all(admin.get(frame["src"]).status_code == 200 for frame in frames)
    assert parse(admin.get(BRANDING)).select_one("#display_name")["value"] == "Harbour & Friends"
    wrong = admin.post(BRANDING, DESIGN | {"accent": "reddish"}, htmx=True)
    assert wrong.status_code == 422
    assert field_errors(wrong) == {"accent": "Enter a colour like #0f5fa8: six digits from 0 to 9 and a to f."}
    assert "Not saved yet" in words(parse(wrong).select_one("#draft-state"))
    assert [frame["src"] for frame in parse(wrong).select("iframe")] == [frame["src"] for frame in frames]


@pytest.mark.parametrize("what", ["mail", "invitation", "registered"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_preview_can_be_framed_by_us_alone_and_does_nothing(admin: Browser, app_driver: AppDriver, what: str) -> None:
    publish(admin)
    answer = admin.get(f"{BRANDING}/preview/{what}?theme=dark")
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy
    assert "script-src" not in policy
    assert "form-action 'none'" in policy
    assert "<script" not in answer.text
    assert app_driver.mails() == []
    assert app_driver.clients() == []


def test_two_admins_publish_at_once_and_one_whole_design_is_seen(admin: Browser, app_driver: AppDriver) -> None:
    designs = [DESIGN | {"display_name": f"Name {n}", "greeting": f"Greeting {n}"} for n in range(6)]
    browsers = [admin.twin() for _ in designs]
    statuses: list[int] = []

    def work(browser: Browser, design: dict[str, str]) -> None:
        statuses.append(browser.post(f"{BRANDING}/publish", design).status_code)

    threads = [Thread(target=work, args=pair) for pair in zip(browsers, designs, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [303] * len(designs)
    (seen,) = app_driver.do(lambda: db.session.execute(select(Branding.display_name, Branding.greeting)).all())
    assert seen[0].removeprefix("Name ") == seen[1].removeprefix("Greeting ")


def test_each_portal_has_a_branding_of_its_own(
    admin: Browser, stranger: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    publish(admin)
    ours = {"display_name": "Alpine Nights", "accent": "#123456", "language": "en"}
    assert stranger.post(f"/portals/{ALPINE}/settings/branding/publish", ours).status_code == 303
    app_driver.invite("here@client.test")
    app_driver.invite("there@client.test", portal_id=ALPINE)
    outbox.flush()
    assert "Harbour & Friends" in mail_server.wait_for("here@client.test").text
    there = mail_server.wait_for("there@client.test")
    assert "Alpine Nights" in there.text
    assert "Harbour" not in there.html
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        app_driver.do(lambda: borrow_logo(admin))


def borrow_logo(admin: Browser) -> None:
    """The database's own word: no branding wears another portal's logo."""
    upload(admin, picture())
    with transaction() as session:
        logo_id = session.scalar(select(Logo.id))
        branding = session.scalar(select(Branding).where(Branding.portal_id == ALPINE))
        assert branding is not None
        branding.logo_id = logo_id
