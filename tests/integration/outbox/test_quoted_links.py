"""What a mail server quotes of a mail helps nobody who reads it, and a link that it refused for good is dead."""

from __future__ import annotations

import base64
import html
import quopri
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from urllib.parse import quote, unquote

import pytest
from flask import Flask

from app.core.links import LinkClaim, LinkKind, make_url
from app.invitations.reminders import send_reminders
from app.models import MailKind, MailState, TlsMode
from app.outbox.errors import AmbiguousOutcome, DeliveryError, PermanentFailure, ServerMisconfigured, TransientFailure
from app.outbox.server_settings import OwnServer, save_own_server
from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic, parse, words
from tests.support.factories import import_file
from tests.support.scripted_smtp import Act, Close, Reply, ScriptedSmtp, Step
from tests.support.smtp import MailServer

INVITEE = "info@nordwind.test"
NORA = {"name": "Nora Wind", "password": "a long enough passphrase"}
UNDELIVERED = "This invitation could not be delivered"
REFUSED = PermanentFailure("550 5.1.1 no such user")
LOST = AmbiguousOutcome("the connection was lost")
USEFUL = 12


def percent(text: str) -> str:
    return "".join(f"%{ord(char):02X}" for char in text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "capitals": str.upper,
    "quoted": lambda url: quote(url, safe=""),
    "percent": percent,
    "percent twice": lambda url: percent(url).replace("%", "%25"),
    "percent of percent": lambda url: percent(percent(url)),
    "a blank": lambda url: f"{url[:-20]} {url[-20:]}",
    "blanks": " ".join,
    "tabs": "\t".join,
    "soft hyphens": "\xad".join,
    "zero width": "\u200b".join,
    "soft line break": lambda url: f"{url[:-20]}= {url[-20:]}",
    "two lines": lambda url: f"{url[:-20]}\r\n550 5.1.1 {url[-20:]}",
    "quoted-printable": lambda url: "".join(f"={ord(char):02X}" for char in url),
    "entities": lambda url: "".join(f"&#{ord(char)};" for char in url),
    "entities in hexadecimal": lambda url: "".join(f"&#x{ord(char):x};" for char in url),
    "entities twice": lambda url: "".join(f"&amp;#{ord(char)};" for char in url),
    "full width": lambda url: "".join(chr(ord(char) + 0xFEE0) for char in url),
    "JSON": lambda url: url.replace("/", "\\/"),
    "Python": lambda url: "".join(f"\\x{ord(char):02x}" for char in url),
    "entities without end": lambda url: "".join(f"&#{ord(char)}" for char in url),
    "hexadecimal entities without end": lambda url: " ".join(f"&#x{ord(char):x}" for char in url),
    "JavaScript": lambda url: "".join(f"\\u{{{ord(char):x}}}" for char in url),
    "Perl": lambda url: "".join(f"\\x{{{ord(char):04x}}}" for char in url),
    "long escapes": lambda url: "".join(f"\\U{ord(char):08x}" for char in url),
    "octal": lambda url: "".join(f"\\{ord(char):03o}" for char in url),
    "octal in C": lambda url: "".join(f"\\{ord(char):o}" for char in url),
    "octal twice": lambda url: "".join(f"\\134{ord(char):03o}" for char in url),
    "numbers": lambda url: " ".join(f"0x{ord(char):02x}" for char in url),
    "numbers in a list": lambda url: ", ".join(f"0x{ord(char):02X}" for char in url),
    "the token alone": lambda url: url.rpartition("/")[2],
    "the signature alone": lambda url: url.rpartition(".")[2],
    "a part of the signature": lambda url: url[-30:-10],
    "hexadecimal": lambda url: url.encode().hex(),
    "base32": lambda url: base64.b32encode(url.encode()).decode(),
    "base32 of the signature": lambda url: base64.b32encode(b"xyz" + url[-43:].encode() + b"x").decode(),
    "base32 in the other alphabet": lambda url: base64.b32hexencode(url.encode()).decode(),
    "base64": lambda url: base64.b64encode(url.encode()).decode(),
    "base64 of the signature": lambda url: base64.b64encode(b"x" + url[-43:].encode()).decode(),
    "base64 for URLs": lambda url: base64.urlsafe_b64encode(b"xy" + url.encode()).decode(),
}


def refusal(words: str) -> str:
    """A reply that is the recipient's fault, on one line or two."""
    return f"550{'-' if chr(10) in words else ' '}5.1.1 No: {words}"


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def readings_of(text: str) -> dict[str, str]:
    """What a text says to somebody who tries one way of reading after the other, as letters and digits alone."""
    readings = {"as it is": text, "normalised": unicodedata.normalize("NFKC", text)}
    readings["quoted-printable"] = quopri.decodestring(text.encode()).decode(errors="replace")
    hexadecimal = r"(?:\\x|\\U000000|0x|\\[ux]\{0*)([0-9A-Fa-f]{2})[},]? ?"
    readings["escapes"] = re.sub(hexadecimal, lambda found: chr(int(found[1], 16)), text)
    readings["octal"] = re.sub(r"\\(?:134)?([01]?[0-7]{2})", lambda found: chr(int(found[1], 8)), text)
    for name, decode in (("base32", base64.b32decode), ("base32 in the other alphabet", base64.b32hexdecode)):
        runs = (run[n : n + (len(run) - n) // 8 * 8] for run in re.findall(r"[A-Z0-9]{16,}", text) for n in range(8))
        readings[name] = "\n".join(decoded for run in runs if (decoded := attempted(decode, run)))
    plain = [base64.urlsafe_b64decode(run) for run in aligned(text.replace("+", "-").replace("/", "_"))]
    readings["base64"] = "\n".join(one.decode("latin-1") for one in plain)
    pairs = re.findall(r"(?:[0-9a-f]{2}){8,}", text)
    readings["hexadecimal"] = "\n".join(bytes.fromhex(run).decode("latin-1") for run in pairs)
    for time in ("once", "twice", "thrice"):
        text = html.unescape(unquote(text, errors="replace"))
        readings[f"unescaped {time}"] = text
    return {way: letters(reading) for way, reading in readings.items()}


def attempted(decode: Callable[[str], bytes], run: str) -> str:
    try:
        return decode(run).decode("latin-1")
    except ValueError:  # it has digits of the other alphabet
        return ""


def aligned(text: str) -> Iterator[str]:
    """Whatever could be base64, from each place at which it could begin."""
    for run in re.findall(r"[A-Za-z0-9_-]{16,}", text):
        for n in range(4):
            yield run[n : n + (len(run) - n) // 4 * 4]


def tells(readings: dict[str, str], link: str) -> list[str]:
    """The ways of reading in which a useful part of a link's signature is seen."""
    signature = letters(link.rpartition(".")[2])
    useful = [signature[n : n + USEFUL] for n in range(len(signature) - USEFUL + 1)]
    return [way for way, reading in readings.items() if any(part in reading for part in useful)]


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"MAIL_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
def quoting(app_driver: AppDriver) -> Iterator[Callable[[dict[Step, Act]], None]]:
    """Gives the portal a mail server that behaves as a script says."""
    started: list[ScriptedSmtp] = []

    def start(script: dict[Step, Act]) -> None:
        started.append(ScriptedSmtp(script).__enter__())
        server = OwnServer("127.0.0.1", started[-1].port, TlsMode.NONE, "Harbour <clients@harbour.test>")
        app_driver.do(save_own_server, HARBOUR, server)

    yield start
    for server in started:
        server.__exit__()


def seen(app: Flask, app_driver: AppDriver, staff: Browser, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """How all can be read that is kept, shown to others than the invitee, or logged.

    The table shows every mail. Pages about one client or mail are read for some of them: they tell what is kept of it.
    """
    shown = [app_driver.dump()]
    shown.append(staff.get(f"{ic(HARBOUR)}/table?size=100", htmx=True).text)
    for mail in app_driver.mails()[:: len(SPELLINGS) // 4]:
        shown.append(staff.get(f"{ic(HARBOUR)}/{mail.client_id}/history").text)
        shown.append(app.test_cli_runner().invoke(args=["outbox", "show", str(mail.id)]).output)
    captured = capsys.readouterr()
    everything = "\n".join([*shown, captured.out, captured.err])
    assert "No: " in everything
    return readings_of(everything)


def invite_one_for_each_spelling(app_driver: AppDriver) -> list[str]:
    emails = [f"client{number}@nordwind.test" for number in range(len(SPELLINGS))]
    app_driver.do(import_file, HARBOUR, *emails)
    return emails


def test_a_link_that_a_server_quotes_is_cut_in_any_spelling(
    app: Flask,
    app_driver: AppDriver,
    staff: Browser,
    outbox: Outbox,
    mail_server: MailServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    links = {}
    emails = invite_one_for_each_spelling(app_driver)
    for number, ((name, spelled), email) in enumerate(zip(SPELLINGS.items(), emails, strict=True)):
        links[name] = app_driver.link(app_driver.client(email).id)
        (mail_server.refuse_data if number % 2 else mail_server.refuse)[email] = refusal(spelled(links[name]))
    outbox.flush()
    assert {mail.state for mail in app_driver.mails()} == {MailState.FAILED}
    everything = seen(app, app_driver, staff, capsys)
    assert {name: ways for name, link in links.items() if (ways := tells(everything, link))} == {}


def test_neither_is_the_link_that_unsubscribes(
    app: Flask,
    app_driver: AppDriver,
    staff: Browser,
    outbox: Outbox,
    mail_server: MailServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app_driver.change_portal(sends_reminders=True)
    links = {}
    emails = invite_one_for_each_spelling(app_driver)
    outbox.flush()
    for (name, spelled), email in zip(SPELLINGS.items(), emails, strict=True):
        client_id = app_driver.client(email).id
        links[name] = app_driver.do(make_url, LinkKind.STOP_REMINDERS, LinkClaim(f"{HARBOUR}.{client_id.hex}", 0))
        app_driver.let_link_lapse(client_id, datetime.now(UTC) + timedelta(days=1))
        mail_server.refuse_data[email] = refusal(spelled(links[name]))
    assert app_driver.do(send_reminders, Event()) == len(SPELLINGS)
    outbox.flush()
    assert [mail.state for mail in app_driver.mails() if mail.kind is MailKind.REMINDER] == [MailState.FAILED] * len(
        SPELLINGS
    )
    everything = seen(app, app_driver, staff, capsys)
    assert {name: ways for name, link in links.items() if (ways := tells(everything, link))} == {}


@pytest.mark.parametrize("spelling", ["percent twice", "blanks", "base64"])
@pytest.mark.parametrize("step", ["mail", "body"])
def test_what_holds_up_a_server_or_a_mail_does_not_quote_the_link_either(
    app: Flask,
    app_driver: AppDriver,
    staff: Browser,
    outbox: Outbox,
    quoting: Callable[[dict[Step, Act]], None],
    capsys: pytest.CaptureFixture[str],
    step: Step,
    spelling: str,
) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    code = "550" if step == "mail" else "451"
    quoting({step: Reply(f"{code} 4.7.1 No: {SPELLINGS[spelling](link)}")})
    outbox.flush()
    everything = seen(app, app_driver, staff, capsys)
    assert tells(everything, link) == []


def test_the_reader_of_these_tests_sees_each_spelling() -> None:
    link = (
        f"http://c.test/invitations/harbour.{'0123456789abcdef' * 2}.1.{'aB3-xYz_QwErTyUiOpAsDfGhJkLzXcVbNmPoIuYtR-8'}"
    )
    blind = {name for name, spelled in SPELLINGS.items() if not tells(readings_of(spelled(link)), link)}
    assert not blind


# What becomes of the link


def attempt(app_driver: AppDriver, error: DeliveryError | None) -> None:
    """Offer the one mail to its server, with this result."""
    app_driver.make_due()
    mail = app_driver.claim_one()
    app_driver.settle(mail, error)


def die_while_sending(app_driver: AppDriver) -> None:
    app_driver.make_due()
    app_driver.claim_one()
    app_driver.end_leases()
    app_driver.free_lapsed()


def retry(app_driver: AppDriver) -> None:
    (mail,) = app_driver.mails()
    done = app_driver.app.test_cli_runner().invoke(args=["outbox", "retry", str(mail.id)])
    assert done.exit_code == 0


def status(browser: Browser, link: str) -> int:
    """What the link is answered with; opening and using it have to agree."""
    opened, used = browser.get(link), browser.post(link, {})
    assert (opened.status_code, used.status_code) in {(200, 422), (410, 410)}
    if opened.status_code == 410:
        assert words(parse(opened).h1) == words(parse(used).h1) == UNDELIVERED
        assert "Harbour Tours" in opened.text
    return opened.status_code


def shown_link(admin: Browser) -> str:
    (row,) = parse(admin.get(f"{ic(HARBOUR)}/table", htmx=True)).select("tr[data-client-id]")
    return str(row["data-link"])


def test_a_link_whose_mail_was_refused_for_good_is_dead_and_resend_cures(
    admin: Browser, nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    client_id = app_driver.invite(INVITEE)
    mail_server.refuse[INVITEE] = "550 5.1.1 no such user"
    assert status(nobody, app_driver.link(client_id)) == 200
    outbox.flush()
    assert status(nobody, app_driver.link(client_id)) == 410
    assert nobody.post(app_driver.link(client_id), NORA).status_code == 410
    assert not app_driver.has_account(INVITEE)
    assert shown_link(admin) == "expired"

    mail_server.refuse.clear()
    app_driver.resend(client_id)
    outbox.flush()
    assert shown_link(admin) == "valid"
    assert nobody.post(mail_server.wait_for(INVITEE).link, NORA).status_code == 303


def test_a_mail_that_is_tried_again_by_the_operator_has_a_live_link(nobody: Browser, app_driver: AppDriver) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    attempt(app_driver, REFUSED)
    assert status(nobody, link) == 410
    retry(app_driver)
    assert status(nobody, link) == 200
    attempt(app_driver, REFUSED)
    assert status(nobody, link) == 410


@pytest.mark.parametrize("before", [TransientFailure("451 later"), ServerMisconfigured("530 sign in")], ids=str)
def test_a_refusal_counts_after_attempts_that_are_known_to_have_failed(
    nobody: Browser, app_driver: AppDriver, before: DeliveryError
) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    attempt(app_driver, before)
    attempt(app_driver, REFUSED)
    assert status(nobody, link) == 410


def test_a_link_stays_good_if_any_attempt_may_have_delivered_it(
    admin: Browser, nobody: Browser, app_driver: AppDriver
) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    attempt(app_driver, TransientFailure("451 later"))
    attempt(app_driver, LOST)
    attempt(app_driver, TransientFailure("451 later"))
    attempt(app_driver, REFUSED)
    assert status(nobody, link) == 200
    retry(app_driver)
    attempt(app_driver, REFUSED)
    assert shown_link(admin) == "valid"
    assert nobody.post(link, NORA).status_code == 303


def test_a_link_stays_good_if_a_process_died_while_it_was_sending(nobody: Browser, app_driver: AppDriver) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    die_while_sending(app_driver)
    attempt(app_driver, REFUSED)
    assert status(nobody, link) == 200


def test_a_connection_lost_after_the_whole_mail_is_such_an_attempt(
    nobody: Browser, app_driver: AppDriver, outbox: Outbox, quoting: Callable[[dict[Step, Act]], None]
) -> None:
    link = app_driver.link(app_driver.invite(INVITEE))
    quoting({"body": Close()})
    outbox.flush()
    quoting({"rcpt": Reply("550 5.1.1 no such user")})
    app_driver.make_due()
    outbox.flush()
    assert app_driver.mail(INVITEE).state is MailState.FAILED
    assert status(nobody, link) == 200


def test_the_links_of_account_mails_end_in_the_same_way(
    nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer
) -> None:
    ada = "ada@harbour.test"
    mail_server.refuse[ada] = mail_server.refuse[INVITEE] = "550 5.1.1 no such user"
    nobody.post(app_driver.link(app_driver.invite(INVITEE)), NORA)
    nobody.post("/password-reset", {"email": ada})
    outbox.flush()
    links = [
        app_driver.do(make_url, LinkKind.VERIFICATION, LinkClaim(str(app_driver.user(INVITEE).id), 1)),
        app_driver.do(make_url, LinkKind.PASSWORD_RESET, LinkClaim(str(app_driver.user(ada).id), 1)),
    ]
    for link in links:
        for answer in (nobody.get(link), nobody.post(link, {"password": NORA["password"]})):
            assert answer.status_code == 410
            assert words(parse(answer).h1) == "The email with this link could not be delivered"
