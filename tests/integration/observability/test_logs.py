"""The log: one line for what happens, which says for whom it was done, and nothing that is nobody's business."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from app.accounts.users import new_user
from app.core.redaction import redact
from app.db.transactions import transaction
from app.jobs.schedule import Job, perform
from app.observability import logs
from tests.conftest import HARBOUR, Outbox
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.factories import PASSWORD
from tests.support.smtp import MailServer

INVITEE = "info@nordwind.test"
REQUEST_ID = "0123456789abcdef-XYZ"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(app: Flask, capsys: pytest.CaptureFixture[str]) -> Lines:
    """What has been logged since it was asked last."""
    capsys.readouterr()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def only(lines: list[dict[str, Any]]) -> dict[str, Any]:
    (line,) = lines
    return line


# Requests


def test_each_request_is_one_line(nobody: Browser, lines: Lines) -> None:
    nobody.get("/login")
    line = only(lines())
    assert line["event"] == "request"
    assert (line["method"], line["endpoint"], line["status"]) == ("GET", "identity.login", 200)
    assert line["level"] == "info"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"])
    assert 0 < line["ms"] < 60_000
    assert re.fullmatch(r"[0-9a-f]{32}", line["request_id"])


def test_the_line_names_the_endpoint_and_never_the_path(admin: Browser, app_driver: AppDriver, lines: Lines) -> None:
    client_id = app_driver.invite(INVITEE)
    link = app_driver.link(client_id)
    lines()
    admin.get(link)
    admin.get(f"{link}x")
    admin.get(f"/no/such/{client_id}?q={INVITEE}")
    admin.get(f"{ic(HARBOUR)}?q={INVITEE}")
    logged = lines()
    assert [line["endpoint"] for line in logged] == [
        "registration.invitation",
        "registration.invitation",
        None,
        "clients.index",
    ]
    assert [line["status"] for line in logged] == [200, 404, 404, 200]
    for secret in (link.rpartition("/")[2], str(client_id), INVITEE, HARBOUR):
        assert secret not in repr(logged)


def test_what_machines_ask_for_all_the_time_is_not_logged(nobody: Browser, lines: Lines) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/static/app.css"):
        assert nobody.get(path, buffered=True).status_code == 200
    assert lines() == []


def test_the_id_that_a_proxy_gave_is_kept_and_sent_back(nobody: Browser, lines: Lines) -> None:
    for sane in (REQUEST_ID, "a" * 64, str(UUID(int=7))):
        answer = nobody.get("/login", headers={"X-Request-ID": sane})
        assert answer.headers["X-Request-ID"] == sane
        assert only(lines())["request_id"] == sane


def test_an_id_that_is_none_is_replaced(nobody: Browser, lines: Lines) -> None:
    for odd in ("short", "a" * 65, "a b" * 8, 'a"' * 10, "é" * 20, "", "{}" * 10):
        answer = nobody.get("/login", headers={"X-Request-ID": odd})
        made = only(lines())["request_id"]
        assert re.fullmatch(r"[0-9a-f]{32}", made), odd
        assert answer.headers["X-Request-ID"] == made, odd


def test_nobody_who_sent_no_id_gets_one(nobody: Browser) -> None:
    assert "X-Request-ID" not in nobody.get("/login").headers


def test_what_is_logged_in_a_request_carries_its_id_and_the_next_request_another(
    reconfigured: Callable[..., Flask], lines: Lines
) -> None:
    app = reconfigured()

    @app.get("/chatty")
    def chatty() -> str:
        logging.getLogger("app.chatty").info("something happens")
        return "done"

    for _ in range(2):
        app.test_client().get("/chatty")
    ids = [line["request_id"] for line in lines()]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    logging.getLogger("app.chatty").info("outside")
    assert "request_id" not in only(lines())


def test_an_error_of_ours_is_logged_with_its_request_and_shows_nothing_secret(
    reconfigured: Callable[..., Flask], lines: Lines
) -> None:
    app = reconfigured()

    @app.get("/broken/<token>")
    def broken(token: str) -> str:
        raise RuntimeError(f"cannot send http://clients.test/invitations/{token} to {INVITEE}")

    answer = app.test_client().get("/broken/abc.1.def", headers={"X-Request-ID": REQUEST_ID})
    assert answer.status_code == 500
    error, request = lines()
    assert (error["level"], request["status"]) == ("error", 500)
    assert error["request_id"] == request["request_id"] == REQUEST_ID
    assert "RuntimeError: cannot send http://clients.test/invitations/‹cut› to i…@nordwind.test" in error["exception"]
    assert "Traceback" in error["exception"]
    for secret in ("abc.1.def", INVITEE):
        assert secret not in repr((error, request))


# Jobs


def test_what_a_job_logs_carries_its_name_and_run(app: Flask, lines: Lines) -> None:
    def fail(_app: Flask, _stop: Event) -> None:
        raise ValueError("a bug")

    for _ in range(2):
        with pytest.raises(ValueError, match="a bug"):
            perform(Job("track-expiry", "", 60, fail), app, Event())
    first, second = lines()
    for line in (first, second):
        assert (line["event"], line["level"], line["job"]) == ("job failed", "error", "track-expiry")
        assert "Traceback" in line["exception"]
        assert "request_id" not in line
    assert first["run"] != second["run"]


# What is never said


@pytest.mark.parametrize(
    "said, told",
    [
        ("to info@nordwind.test", "to i…@nordwind.test"),
        ("<info@nordwind.test>, <a@b.test>", "<i…@nordwind.test>, <a…@b.test>"),
        ("{'email': 'info@nordwind.test'}", "{'email': 'i…@nordwind.test'}"),
        ('{"email":"info@nordwind.test"}', '{"email":"i…@nordwind.test"}'),
        ("Key (portal_id, email)=(harbour, info@nordwind.test)", "Key (portal_id, email)=(harbour, i…@nordwind.test)"),
        ("mailto:first.last+tag@sub.nordwind.test?", "mailto:f…@sub.nordwind.test?"),
        ("?q=info%40nordwind.test", "?…%40nordwind.test"),
        ("o'brien@nordwind.test", "o…@nordwind.test"),
        ("ünal@nordwind.test and 信息@例え.test", "ü…@nordwind.test and 信…@例え.test"),
        ('"john doe"@nordwind.test', "…@nordwind.test"),
        ("info@[192.0.2.1]", "i…@[192.0.2.1]"),
        ("info@a.test@b.test", "i…@a…@b.test"),
        ("i…@nordwind.test", "i…@nordwind.test"),
        ("postgresql://ada:hunter2@db.test/x", "postgresql://ada:h…@db.test/x"),
        ("http://c.test/invitations/aB-_.1.xyz.", "http://c.test/invitations/‹cut›"),
        (f"GET /verify-email/7.1.{'aB3_-' * 9} HTTP/1.1", "GET /verify-email/‹cut› HTTP/1.1"),
        ("/password-reset/7.1.abc?x=1", "/password-reset/‹cut›?x=1"),
        ("@wraps a @ b, @", "@wraps a @ b, @"),
    ],
)
def test_links_are_cut_and_addresses_masked(said: str, told: str) -> None:
    assert redact(said) == told


def test_a_long_text_is_gone_through_in_no_time() -> None:
    assert redact("x" * 1_000_000 + "@" * 1000 + "%40" * 10_000)


def every_way_to_say(secret: str) -> None:
    log = logging.getLogger("app.indiscreet")
    log.warning(f"plainly {secret}")
    log.warning("as an argument %s", secret)
    log.warning("beside it", extra={"what": secret, "deep": [{"down": (secret, {secret})}], secret: 1})
    log.warning("as an object", extra={"object": ValueError(secret)})
    logging.getLogger("a.library").warning("quotes %s", secret)
    try:
        try:
            raise ValueError(secret)
        except ValueError as error:
            raise RuntimeError(f"wrapped: {secret}") from error
    except RuntimeError:
        log.exception("it failed: %s", secret)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_whatever_way_a_secret_takes_it_does_not_reach_the_log(
    app: Flask, capsys: pytest.CaptureFixture[str], log_format: Any, app_driver: AppDriver
) -> None:
    link = app_driver.link(uuid4())
    logs.configure(log_format)
    try:
        for secret in (link, INVITEE):
            capsys.readouterr()
            every_way_to_say(secret)
            said = capsys.readouterr().err
            assert secret not in said
            assert link.rpartition("/")[2] not in said
            assert said.count("‹cut›" if secret == link else "i…@nordwind.test") >= 10
    finally:
        logs.configure("json")


def test_an_error_of_the_database_does_not_quote_what_was_written(app_driver: AppDriver, lines: Lines) -> None:
    def twice() -> None:
        with transaction() as session:
            session.add_all([new_user(INVITEE, "Nora Wind", "$argon2id$the hash") for _ in range(2)])

    with pytest.raises(Exception) as caught:
        app_driver.do(twice)
    logging.getLogger("app").error("failed", exc_info=caught.value)
    said = repr(lines())
    assert "IntegrityError" in said
    for private in (INVITEE, "Nora Wind", "argon2id"):
        assert private not in said


def test_a_whole_invitation_leaves_no_address_in_the_log(
    nobody: Browser, app_driver: AppDriver, outbox: Outbox, mail_server: MailServer, lines: Lines
) -> None:
    mail_server.refuse["refused@nordwind.test"] = "550 5.1.1 <refused@nordwind.test> is nobody here"
    nobody.sign_in("ada@harbour.test", PASSWORD)
    nobody.post(ic(HARBOUR), {"company_name": "Nordwind Reisen", "email": INVITEE})
    nobody.post(ic(HARBOUR), {"company_name": "Refused", "email": "refused@nordwind.test"})
    outbox.flush()
    link = mail_server.wait_for(INVITEE).link
    nobody.get(link)
    logged = lines()
    assert any("not sent" in line["event"] for line in logged)
    # The test's own mail server, in this process, logs what it is sent.
    ours = repr([line for line in logged if not line["logger"].startswith("mail.")])
    for private in ("ada@harbour.test", INVITEE, "refused@nordwind.test", "Nordwind Reisen", PASSWORD, link):
        assert private not in ours
    assert link.rpartition("/")[2] not in ours


# Formats


def test_lines_for_eyes_are_no_json(reconfigured: Callable[..., Flask], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        other = reconfigured(LOG_FORMAT="console")
        capsys.readouterr()
        other.test_client().get("/login")
        (line,) = capsys.readouterr().err.splitlines()
    finally:
        logs.configure("json")
    assert "identity.login" in line
    assert not line.startswith("{")


def test_however_often_it_is_set_up_each_line_comes_once(reconfigured: Callable[..., Flask], lines: Lines) -> None:
    for _ in range(3):
        other = reconfigured()
    other.test_client().get("/login")
    assert len(lines()) == 1


def test_the_results_of_commands_are_alone_on_stdout(app: Flask) -> None:
    made = app.test_cli_runner().invoke(args=["portal", "create", "--name", "Beach Huts"])
    assert re.fullmatch(r"[0-9a-z]{8}\n", made.stdout)


def test_lines_of_several_threads_do_not_mix(app: Flask, lines: Lines) -> None:
    def ask(request_id: str) -> None:
        for _ in range(20):
            app.test_client().get("/login", headers={"X-Request-ID": request_id})

    threads = [Thread(target=ask, args=[str(n) * 16]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stderr.flush()
    ids = [line["request_id"] for line in lines()]
    assert {one: ids.count(one) for one in set(ids)} == {str(n) * 16: 20 for n in range(4)}
