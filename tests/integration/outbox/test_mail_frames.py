"""What a portal's mails share is rendered once; filling in the rest has to give what rendering it all would."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr
from uuid import UUID, uuid4

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask_babel import force_locale
from markupsafe import escape

from app.branding.policy import PortalPolicy
from app.branding.resolved import LogoImage, ResolvedBranding
from app.invitations.emails import MESSAGE, REPLACES, TEST
from app.models import Language, MailKind, OutboxMail
from app.outbox.kinds import rules_of
from app.outbox.mime import message_of
from app.outbox.render import render, words_of
from app.outbox.routing import Route
from app.outbox.smtp_session import MailServer
from tests.conftest import HARBOUR

ROUTE = Route("", MailServer("127.0.0.1", 25, "none"), "us@harbour.test", connections=1)
BRANDING = ResolvedBranding(
    "Harbour Tours",
    accent="#7a1f5c",
    logo=LogoImage(UUID(int=1), b"PNG", 300, 100),
    support_address="help@harbour.test",
    subject="{inviter} asks {company} to come aboard {portal}",
    greeting="Dear <friends> at {company},\nplease join us by {expiry}.",
)
POLICY = PortalPolicy(BRANDING, timedelta(days=7))
STRICT = SMTP.clone(raise_on_defect=True)
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
NAMES = [
    "Nordwind Reisen",
    "Überseereisen & Söhne „Nordwind“ GmbH – 旅行社",
    "a" * 100,
    "W " * 49 + "W",
    'Tom\'s "Tours" % (company_name)s {{ portal_name }} %(portal)s',
    "https://evil.test www.evil.test",
    "\\1 \\g<0> $1 &amp; &lt;b&gt;",
]


def mail_of(kind: MailKind, name: str, recipient: str) -> OutboxMail:
    names = {
        MailKind.INVITATION: {
            "portal_name": "Harbour Tours",
            "company_name": name,
            "inviter_name": "Ada Berg",
            "inviter_email": "ada@harbour.test",
        },
        MailKind.VERIFICATION: {"portal_name": "Harbour Tours"},
        MailKind.PASSWORD_RESET: {"person_name": name},
    }
    names[MailKind.JOIN_NOTICE] = {
        "portal_name": "Harbour Tours",
        "company_name": name,
        "client_email": "info@nordwind.test",
    }
    names[MailKind.JOIN_DIGEST] = {
        "portal_name": "Harbour Tours",
        "joined": f"{name}\nBerghof",
        "joined_number": "23",
        "lapsed": name,
        "lapsed_number": "1",
    }
    names[MailKind.SIGN_IN_LOCKED] = {
        "person_name": name,
        "locked_at": "2026-03-01T12:29:00+00:00",
        "is_everywhere": "",
        "network": "203.0.113.0/24",
    }
    names[MailKind.COLLEAGUE_INVITATION] = {
        "portal_name": "Harbour Tours",
        "inviter_name": name,
        "inviter_email": "ada@harbour.test",
        "role": "client_admin",
        "invitation_id": UUID(int=8).hex,
        "replaces": "yes",
    }
    notice = {
        "portal_name": "Harbour Tours",
        "actor_name": name,
        "actor_email": "ada@harbour.test",
        "at": "2026-03-01T12:29:00+00:00",
    }
    person = {"person_name": name, "person_email": "info@nordwind.test"}
    names[MailKind.ROLE_NOTICE] = notice | person | {"before": "", "after": "staff", "is_own": ""}
    names[MailKind.SERVER_NOTICE] = notice | {"server": "smtp.harbour.test"}
    done = {"person_name": name, "at": "2026-03-01T12:29:00+00:00", "network": "203.0.113.0/24"}
    names[MailKind.PASSWORD_CHANGED] = done | {"by": "owner"}
    names[MailKind.NEW_DEVICE] = done | {"browser": "Firefox", "system": "Windows"}
    names[MailKind.ACCOUNT_DELETED] = done
    names[MailKind.SECOND_FACTOR_REQUIRED] = notice | {"due": "2026-03-15T12:29:00+00:00"}
    names[MailKind.SECOND_FACTOR_CHANGED] = done | {"change": "code_used", "left": "3", "is_bare": ""}
    names[MailKind.SECOND_FACTOR_LOCKED] = done
    changed = done | {"former_email": "ada@harbour.test", "new_email": "ada@berg.test"}
    names |= dict.fromkeys((MailKind.EMAIL_CHANGE, MailKind.EMAIL_CHANGE_NEW, MailKind.EMAIL_CHANGED), changed)
    names[MailKind.REMINDER] = names[MailKind.INVITATION] | {"expires_at": "2026-03-03T12:30:00+00:00"}
    return OutboxMail(
        id=uuid4(),
        kind=kind,
        portal_id=HARBOUR,
        client_id=UUID(int=7),
        user_id=7,
        generation=1,
        recipient=recipient,
        params=names[kind],
        message_id="<1@harbour.test>",
    )


@pytest.mark.parametrize(
    "kind, more_params",
    [
        *((kind, {}) for kind in MailKind),
        *((MailKind.INVITATION, {one: "1"}) for one in (REPLACES, TEST)),
        (MailKind.INVITATION, {MESSAGE: 'Dear <all> & "friends",\n\n.\n%(portal)s {company}\nمرحبا'}),
    ],
)
def test_a_filled_frame_is_the_mail_as_the_templates_say_it(
    app: Flask, kind: MailKind, more_params: dict[str, str]
) -> None:
    handler = rules_of(kind)
    with app.app_context():
        render(mail_of(kind, "Somebody Else", "else@nordwind.test"), AT, ROUTE, POLICY)
        for name in NAMES:
            mail = mail_of(kind, name, "o'neil+a&b@nordwind.test")
            mail.params = mail.params | more_params
            made = render(mail, AT, ROUTE, POLICY)
            with force_locale("en"):
                words = words_of(kind, BRANDING, dict(handler.context(mail, AT, POLICY)) | {"link": handler.link(mail)})
            assert made.subject == " ".join(words.subject.split()), name
            # The plain text is wrapped before the names are filled in, so its lines break elsewhere.
            assert str(made.text).split() == words.text.split(), name
            assert normal(str(made.html)) == normal(words.html), name


@pytest.mark.parametrize("kind", MailKind)
def test_a_mail_of_any_language_passes_the_strict_parser(app: Flask, kind: MailKind) -> None:
    for language in Language:
        mail = mail_of(kind, NAMES[1], "o'neil@nordwind.test")
        route = replace(ROUTE, sender=formataddr((NAMES[1], "us@harbour.test")))
        policy = replace(POLICY, branding=replace(BRANDING, language=language), reply_to="post@harbour.test")
        with app.app_context():
            content = message_of(render(mail, AT, route, policy)).as_bytes()
            link = rules_of(kind).link(mail)
        parsed = message_from_bytes(content, policy=STRICT)
        for part in parsed.walk():
            assert [value.defects for _name, value in part.items() if value.defects] == []
        assert parsed["Content-Language"] == language
        assert b"\r\n." not in content
        assert text_of(parsed, "plain").split("\n").count(link) == 1
        assert set(re.findall(r'href="([^"]+)"', text_of(parsed, "html"))) == {str(escape(link))}


def test_outlook_for_windows_shows_a_filled_button(app: Flask) -> None:
    """It pads no link, and takes a link's colour only from inside it: the cell has to bring colour and padding."""
    with app.app_context():
        made = render(mail_of(MailKind.INVITATION, NAMES[0], "a@nordwind.test"), AT, ROUTE, POLICY)
    button = BeautifulSoup(str(made.html), "html.parser").select_one("td.button")
    assert button is not None
    words = button.select_one("a > span")
    assert words is not None
    assert button["bgcolor"] == BRANDING.accent
    assert "mso-padding-alt: 15px 32px" in str(button["style"])
    assert f"color:{BRANDING.on_accent}" in str(words["style"])


def text_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


def normal(html: str) -> str:
    # Markup escapes quotes by number, the inliner leaves them alone.
    return re.sub("&#34;|&#39;|&quot;", lambda found: "'" if found[0] == "&#39;" else '"', html)
