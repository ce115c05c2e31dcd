"""Clients that send or read slowly, or not at all: they are bounded, and others are served meanwhile."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest
from flask import Flask, Response

from app.web import uploads
from tests.conftest import HARBOUR
from tests.support.app_driver import AppDriver
from tests.support.browser import Browser, ic
from tests.support.processes import wait_until
from tests.support.production import Visitor, gunicorn
from tests.support.serving import serving
from tests.support.slow_clients import PATIENCE_SECONDS, SlowClient, dripping, head
from webserver.server import Deadlines

IMPORT = f"{ic(HARBOUR)}/import"
LOGO = f"/portals/{HARBOUR}/settings/branding/logo"
FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=b"
TOO_LATE = "The request took too long to arrive."


@pytest.fixture
def impatient(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    for setting in ("BODY_SECONDS", "UPLOAD_SECONDS"):
        monkeypatch.setitem(app.config, setting, 0.5)
    return app


@pytest.fixture
def port(impatient: Flask) -> Iterator[int]:
    """Where the application waits half a second for a body."""
    with serving(impatient) as running:
        yield running.port


def answers(port: int, path: str = "/healthz") -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


# As it is deployed


def test_a_hundred_slow_uploads_hold_up_nobody(admin: Browser, environment: dict[str, str]) -> None:
    upload = head("POST", IMPORT, MULTIPART, "Content-Length: 100000")
    with gunicorn(environment, app="tests.support.impatient:app", workers=2, fresh=False) as port:
        visitor = Visitor(port, admin)
        assert visitor.get("/healthz").status == 200
        with dripping(port, 100, upload) as clients:
            for _ in range(4):
                assert answers(port) == 200
                assert visitor.get(ic(HARBOUR)).status == 200
            assert visitor.upload(IMPORT, b"company_name,email\nNordwind,info@nordwind.test\n").status == 303
            # Each of them is still under way.
            assert not any(client.is_answered() for client in clients)
            # And what is no upload has less time.
            with SlowClient(port) as slow:
                slow.send(head("POST", "/login", FORM, "Content-Length: 100") + b"email=")
                refused = slow.answer()
                assert (refused.status, refused.headers["Connection"]) == (408, "close")
                assert TOO_LATE in refused.read().decode()


# Bodies


TOO_SLOW = {
    "nothing": head("POST", "/login", FORM, "Content-Length: 100"),
    "a part": head("POST", "/login", FORM, "Content-Length: 100") + b"email=ada%40harbour.test&",
    "chunks": head("POST", "/login", FORM, "Transfer-Encoding: chunked") + b"5\r\nemail\r\n",
    "no chunk": head("POST", "/login", FORM, "Transfer-Encoding: chunked"),
    "no page": head("POST", "/there/is/no/such/page", FORM, "Content-Length: 100"),
    "get": head("GET", "/login", "Content-Length: 100"),
    "delete": head("DELETE", f"{ic(HARBOUR)}/00000000-0000-0000-0000-000000000000", "Content-Length: 100"),
    "import": head("POST", IMPORT, MULTIPART, "Content-Length: 100000") + b"--b\r\n",
    "logo": head("POST", LOGO, MULTIPART, "Content-Length: 100000"),
    "too large": head("POST", IMPORT, MULTIPART, "Content-Length: 9000000"),
}


def test_a_body_that_does_not_arrive_in_time_is_refused_and_the_connection_closed(port: int) -> None:
    with ExitStack() as stack:
        all_at_once = {
            name: stack.enter_context(dripping(port, 1, first, seconds=0.05))[0] for name, first in TOO_SLOW.items()
        }
        for name, client in all_at_once.items():
            refused = client.answer()
            assert (refused.status, refused.headers["Connection"]) == (408, "close"), name
            page = refused.read().decode()
            assert TOO_LATE in page, name
            assert "<html" in page, name
            assert client.read_little() == b"", name


def test_a_dialog_is_told_so_where_the_eye_is(port: int) -> None:
    first = head("POST", IMPORT, MULTIPART, "Content-Length: 1000", "HX-Request: true", "HX-Target: import-result")
    with dripping(port, 1, first, seconds=0.05) as (client,):
        refused = client.answer()
        assert (refused.status, refused.headers["HX-Retarget"]) == (408, "#dialog-alert")
        assert TOO_LATE in refused.read().decode()


def test_nothing_is_done_of_what_came_too_late(
    port: int, admin: Browser, app_driver: AppDriver, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = admin.client.get_cookie("session")
    assert cookie is not None
    fields = f"csrf_token={admin.csrf_token()}&company_name=Nordwind&email=info@nordwind.test"
    headers = [FORM, f"Content-Length: {len(fields) + 1}", f"Cookie: session={cookie.value}"]
    with SlowClient(port) as client:
        client.send(head("POST", ic(HARBOUR), *headers) + fields.encode())
        assert client.answer().status == 408
    assert app_driver.clients() == []
    (line,) = [
        one
        for one in caplog.records
        if one.name == "app.observability.request_log" and getattr(one, "status", 0) == 408
    ]
    assert line.__dict__["endpoint"] == "clients.add"


FORM_DATA = "multipart/form-data; boundary=b"
LIMITS = (
    ("POST", IMPORT, FORM_DATA, 3 * 1024 * 1024 + 64 * 1024, 120),
    ("POST", f"{IMPORT}/annotated.csv", "Multipart/Form-Data; boundary=b", 3 * 1024 * 1024 + 64 * 1024, 120),
    ("POST", LOGO, FORM_DATA, 2 * 1024 * 1024 + 64 * 1024, 120),
    ("POST", IMPORT, "application/x-www-form-urlencoded", 3 * 1024 * 1024 + 64 * 1024, 30),
    ("POST", "/login", FORM_DATA, 256 * 1024, 30),
    ("GET", IMPORT, FORM_DATA, 256 * 1024, 30),
    ("POST", "/caf\xc3\xa9/\xff", "", 256 * 1024, 30),
    ("POST", "", "", 256 * 1024, 30),
)


def test_uploads_may_be_larger_and_take_longer_than_anything_else(app: Flask) -> None:
    for method, path, content_type, max_bytes, seconds in LIMITS:
        limit = uploads.body_limit(app, method, path, content_type)
        assert (limit.max_bytes, limit.seconds) == (max_bytes, seconds), (method, path, content_type)


def test_a_body_in_chunks_is_taken(app: Flask, admin: Browser) -> None:
    with serving(app) as running, SlowClient(running.port) as client:
        client.send(head("POST", "/login", FORM, "Transfer-Encoding: chunked"))
        for _ in range(3):
            client.send(b"5\r\nemail\r\n")
        client.send(b"0\r\n\r\n")
        assert client.answer().status == 400  # there is no CSRF token in it


def test_leave_to_send_is_given_but_not_for_what_is_too_large(port: int) -> None:
    expecting = "Expect: 100-continue"
    with SlowClient(port) as client:
        client.send(head("POST", "/login", FORM, "Content-Length: 10", expecting))
        assert client.read_little().startswith(b"HTTP/1.1 100 Continue")
        assert client.answer().status == 408
    with SlowClient(port) as client:
        client.send(head("POST", "/login", FORM, "Content-Length: 1000000", expecting))
        assert client.answer().status == 413


TOO_LARGE = {
    "announced": ("Content-Length: 5000000", b"x" * 5_000_000),
    "far too much announced": ("Content-Length: 5000000000", b"x" * 5_000_000),
    "chunks": ("Transfer-Encoding: chunked", b"4c4b40\r\n" + b"x" * 5_000_000 + b"\r\n0\r\n\r\n"),
    "chunks without end": ("Transfer-Encoding: chunked", b"77359400\r\n" + b"x" * 40_000_000),
}


def test_a_body_that_is_too_large_is_refused_in_the_dialog_however_it_comes(app: Flask, admin: Browser) -> None:
    cookie = admin.client.get_cookie("session")
    assert cookie is not None
    headers = [MULTIPART, f"Cookie: session={cookie.value}", "HX-Request: true"]
    with serving(app) as running:
        for how, (framing, body) in TOO_LARGE.items():
            with SlowClient(running.port) as client:
                client.send(head("POST", IMPORT, framing, *headers) + body)
                refused = client.answer()
                assert refused.status == 413, how
                page = refused.read().decode()
                assert "larger than 3 MiB" in page, how
                assert "<html" not in page, how


def test_the_framing_of_chunks_is_bounded_too(port: int) -> None:
    for framing in (b"1;" + b"x" * 2000, b"1\r\nx\r\n0\r\n" + b"x: y\r\n" * 2000):
        with SlowClient(port) as client:
            client.send(head("POST", "/login", FORM, "Transfer-Encoding: chunked") + framing)
            assert client.answer().status == 400, framing[:9]


def test_who_leaves_before_the_body_is_there_is_one_line_without_the_path(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serving(app) as running:
        with SlowClient(running.port) as client:
            client.send(head("POST", IMPORT, MULTIPART, "Content-Length: 1000") + b"--b\r\n")
        left = "a connection ended before the body of its request had arrived"
        wait_until(lambda: left in caplog.messages, "it is noticed")
        assert answers(running.port) == 200
    assert [record for record in caplog.records if record.exc_info or "/portals" in record.getMessage()] == []


# What else may be slow


def test_headers_that_drip_and_connections_that_say_nothing_are_closed(app: Flask) -> None:
    with (
        serving(app, deadlines=Deadlines(idle=0.5, headers=0.5)) as running,
        dripping(running.port, 1, b"GET / HTTP/1.1\r\nX: ", seconds=0.05) as (drips,),
        SlowClient(running.port) as silent,
        SlowClient(running.port) as used_before,
    ):
        used_before.send(head("GET", "/healthz"))
        used_before.answer().read()
        assert [client.read_little() for client in (drips, silent, used_before)] == [b"", b"", b""]


def test_who_does_not_read_the_answer_holds_no_thread_and_is_cut_off(reconfigured: Callable[..., Flask]) -> None:
    app = reconfigured()

    @app.get("/a-large-page")
    def large() -> Response:
        return Response(b"x" * 8_000_000, mimetype="application/octet-stream")

    with serving(app, threads=1, deadlines=Deadlines(answer=1)) as running, ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(SlowClient(running.port))
            client.send(head("GET", "/a-large-page"))
            client.read_little()
        assert answers(running.port) == 200

        def is_cut_off() -> bool:
            return running.server.connection_count == 0

        wait_until(is_cut_off, "all of them are cut off")


def test_requests_that_are_sent_in_one_go_are_answered_in_order(port: int) -> None:
    with SlowClient(port) as client:
        client.send(head("GET", "/healthz") + head("GET", "/there/is/no/such/page") + head("GET", "/login"))
        statuses = []
        for _ in range(3):
            answer = client.answer()
            statuses.append(answer.status)
            answer.read()
        assert statuses == [200, 404, 200]


def test_with_too_many_connections_those_give_way_that_wait_longest(app: Flask) -> None:
    with serving(app, max_connections=10) as running:
        first = head("POST", "/login", FORM, "Content-Length: 100")
        with dripping(running.port, 10, first) as older, dripping(running.port, 5, first) as newer:
            wait_until(lambda: sum(one.is_answered() for one in older) >= 5, "the older ones are closed")
            assert answers(running.port) == 200
            assert not any(one.is_answered() for one in newer)


# At its end


def test_what_has_begun_to_arrive_is_answered_before_the_end(app: Flask) -> None:
    with serving(app) as running, SlowClient(running.port) as client, SlowClient(running.port) as idle:
        client.send(head("POST", "/login", FORM, "Content-Length: 5") + b"emai")
        assert answers(running.port) == 200
        running.told_to_finish.set()
        assert idle.read_little() == b""
        client.send(b"l")
        answer = client.answer()
        assert (answer.status, answer.headers["Connection"]) == (400, "close")


def test_no_thread_is_left_when_what_it_needs_is_closed(app: Flask) -> None:
    before = set(threading.enumerate())
    with serving(app) as running:
        assert answers(running.port) == 200
        running.told_to_finish.set()
        assert running.finished.wait(PATIENCE_SECONDS)
        left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith("waitress")}


def test_the_master_of_the_processes_holds_no_code_of_the_application() -> None:
    code = "import webserver.gunicorn_worker, sys; sys.exit('app' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
