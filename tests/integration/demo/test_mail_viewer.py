"""The mail viewer: what a mail says is shown, and a hostile one can do nothing."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.demo.catcher import catching_mails
from app.demo.mailbox import Mailbox
from app.demo.viewer import mail_viewer
from config import load_settings

HOSTILE = "<img src=x onerror=alert(1)>"


def a_mail(subject: str = "Invitation", html: str | None = None, text: str = "Hello") -> bytes:
    message = EmailMessage()
    message["From"] = "B-Portal <no-reply@b-portal.example>"
    message["To"] = "ana@client.example"
    message["Subject"] = subject
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mails")


@pytest.fixture(scope="module")
def mailbox_of_all(mails: Path) -> Mailbox:
    return Mailbox(mails, kept=60)


@pytest.fixture
def mailbox(mailbox_of_all: Mailbox, mails: Path) -> Mailbox:
    """One without mails."""
    for file in mails.iterdir():
        file.unlink()
    return mailbox_of_all


@pytest.fixture(scope="module")
def demo(mailbox_of_all: Mailbox) -> Flask:
    app = create_app(
        load_settings(
            {"DATABASE_URL": "sqlite:///never-opened.sqlite3", "SECRET_KEY": "a key for tests and nothing else"}
        )
    )
    app.register_blueprint(mail_viewer(mailbox_of_all))
    app.testing = True
    return app


@pytest.fixture
def viewer(demo: Flask, mailbox: Mailbox) -> Iterator[FlaskClient]:
    with demo.test_client() as client:
        yield client


def path_of_newest(mailbox: Mailbox) -> str:
    (mail, *_), _has_more = mailbox.page(1)
    return f"/demo/mail/{mail.id}"


def test_it_exists_in_the_demo_only() -> None:
    app = create_app(
        load_settings(
            {"DATABASE_URL": "sqlite:///never-opened.sqlite3", "SECRET_KEY": "a key for tests and nothing else"}
        )
    )
    assert not [rule for rule in app.url_map.iter_rules() if str(rule).startswith("/demo")]


def test_an_empty_mailbox_says_so(viewer: FlaskClient) -> None:
    assert "No emails yet" in viewer.get("/demo/mail").text


def test_a_mail_that_the_catcher_takes_is_shown(viewer: FlaskClient, mailbox: Mailbox) -> None:
    with catching_mails(mailbox) as port, smtplib.SMTP("127.0.0.1", port) as smtp:
        smtp.sendmail("no-reply@b-portal.example", ["ana@client.example"], a_mail("Grüße", text="Ein Gruß"))
    listed = viewer.get("/demo/mail").text
    assert "Grüße" in listed
    assert "To ana@client.example" in listed
    path = path_of_newest(mailbox)
    assert path in listed
    assert "Ein Gruß" in viewer.get(path).text
    assert "Subject:" in viewer.get(f"{path}?part=source").text


def test_a_mail_that_cannot_be_kept_stays_with_its_sender(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "mails")
    (tmp_path / "mails").rename(tmp_path / "elsewhere")
    with (
        catching_mails(mailbox) as port,
        smtplib.SMTP("127.0.0.1", port) as smtp,
        pytest.raises(smtplib.SMTPDataError, match="452"),
    ):
        smtp.sendmail("no-reply@b-portal.example", ["ana@client.example"], a_mail())


def test_links_of_the_text_open_in_a_new_tab(viewer: FlaskClient, mailbox: Mailbox) -> None:
    mailbox.add(a_mail(text=f"Open:\nhttp://localhost:8000/invitations/a.b-_\n{HOSTILE}\n"))
    page = viewer.get(f"{path_of_newest(mailbox)}?part=text").text
    link = "http://localhost:8000/invitations/a.b-_"
    assert f'<a href="{link}" target="_blank" rel="noopener">{link}</a>' in page
    assert HOSTILE not in page


def test_the_html_part_is_locked_into_its_frame(viewer: FlaskClient, mailbox: Mailbox) -> None:
    html = f"<!doctype html><html><head><title>Hi</title></head><body>{HOSTILE}</body></html>"
    mailbox.add(a_mail(subject=HOSTILE, html=html))
    path = path_of_newest(mailbox)
    page = viewer.get(path)
    assert HOSTILE not in page.text
    assert f'src="{path}/html"' in page.text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    framed = viewer.get(f"{path}/html")
    assert '<head><base target="_blank"><title>' in framed.text
    policy = framed.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'self'", "style-src 'unsafe-inline'"} <= set(policy)
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy


def test_a_picture_that_is_in_the_mail_shows_without_being_loaded(viewer: FlaskClient, mailbox: Mailbox) -> None:
    message = message_from_bytes(a_mail(html='<p><img src="cid:logo@portal"></p>'), policy=default_policy)
    assert isinstance(message, EmailMessage)
    body = message.get_body(("html",))
    assert body is not None
    body.add_related(b"a picture", "image", "png", cid="<logo@portal>")
    mailbox.add(message.as_bytes())
    framed = viewer.get(f"{path_of_newest(mailbox)}/html")
    assert '<img src="data:image/png;base64,YSBwaWN0dXJl">' in framed.text


def test_an_unknown_mail_or_part(viewer: FlaskClient, mailbox: Mailbox) -> None:
    mailbox.add(a_mail())
    assert viewer.get(f"/demo/mail/{uuid4()}").status_code == 404
    assert viewer.get(f"/demo/mail/{uuid4()}/html").status_code == 404
    assert viewer.get("/demo/mail/nonsense").status_code == 404
    assert viewer.get("/demo/mail?before=nonsense").status_code == 200
    assert viewer.get(f"{path_of_newest(mailbox)}?part=nonsense").status_code == 200


def test_the_newest_are_kept_and_paged(viewer: FlaskClient, mailbox: Mailbox) -> None:
    for n in range(70):
        mailbox.add(a_mail(f"Mail {n:02}"))
    first, more = mailbox.page(50)
    assert (len(first), more) == (50, True)
    rest, more = mailbox.page(50, before=first[-1].id)
    assert (len(rest), more) == (10, False)
    received = [mail.received_at for mail in [*first, *rest]]
    assert received == sorted(received, reverse=True)
    page = viewer.get("/demo/mail").text
    assert f"before={first[-1].id}" in page
    assert "Older emails" not in viewer.get(f"/demo/mail?before={first[-1].id}").text


def test_a_strange_mail_is_shown_all_the_same(viewer: FlaskClient, mailbox: Mailbox) -> None:
    mailbox.add(b"Content-Type: text/plain; charset=klingon\r\n\r\n\xff\xfe?\r\n")
    mailbox.add(b"")
    for mail in mailbox.page(10)[0]:
        assert viewer.get(f"/demo/mail/{mail.id}").status_code == 200
    assert "(no subject)" in viewer.get("/demo/mail").text
