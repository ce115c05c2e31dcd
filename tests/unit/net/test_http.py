"""Speaking HTTP to others: against a server on loopback that behaves, and misbehaves, as it is told."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme

from app.net.dialer import PublicOrIn, any_address
from app.net.http import REASON_LENGTH, Answer, BadUrl, Target, Unreachable, send, target_of
from tests.support.scripted_http import Act, Drip, Flood, Hang, Raw, Reply, ScriptedHttp

HEAD = b"HTTP/1.1 200 OK\r\n"
SOON = 0.6


def answered(act: Act, **options: Any) -> Answer:
    """What a GET gives when the server does this."""
    with ScriptedHttp(lambda _request: act) as server:
        return send("GET", server.url, **{"permits": any_address} | options)


def failure_of(url: str, **options: Any) -> str:
    """Why a GET gives nothing."""
    with pytest.raises(Unreachable) as failure:
        send("GET", url, **{"permits": any_address} | options)
    return failure.value.reason


def failure_at(act: Act, **options: Any) -> str:
    with ScriptedHttp(lambda _request: act) as server:
        return failure_of(server.url, **options)


class TestARequest:
    def test_goes_out_as_it_is_given(self) -> None:
        with ScriptedHttp() as server:
            send(
                "POST",
                f"http://localhost:{server.port}/a/b?c=d",
                headers={"Webhook-Id": "msg_1", "Content-Type": "application/json"},
                body=b'{"a": 1}',
                permits=any_address,
            )
        (request,) = server.requests
        assert (request.method, request.path, request.body) == ("POST", "/a/b?c=d", b'{"a": 1}')
        assert request.headers["host"] == f"localhost:{server.port}"
        assert request.headers["webhook-id"] == "msg_1"
        assert request.headers["content-type"] == "application/json"

    def test_a_large_body_goes_out_whole(self) -> None:
        with ScriptedHttp() as server:
            send("POST", server.url, body=b"x" * 300_000, permits=any_address)
        assert server.requests[0].body == b"x" * 300_000

    def test_no_proxy_of_the_environment_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert answered(Reply(200)).status == 200

    @pytest.mark.parametrize("name", ["X\r\nInjected", "X-A"])
    def test_nothing_is_smuggled_into_its_headers(self, name: str) -> None:
        with ScriptedHttp() as server, pytest.raises(Unreachable):
            send("GET", server.url, headers={name: "a\r\nInjected: 1"}, permits=any_address)
        assert server.requests == []


class TestAnAnswer:
    def test_has_status_body_and_headers(self) -> None:
        answer = answered(Reply(200, b"the keys", {"Cache-Control": "max-age=60"}))
        assert (answer.status, answer.body, answer.headers["cache-control"]) == (200, b"the keys", "max-age=60")

    def test_may_come_in_chunks(self) -> None:
        content = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        assert answered(Raw(content)).body == b"abcde"

    def test_may_end_with_the_connection(self) -> None:
        assert answered(Raw(HEAD + b"\r\nall of it")).body == b"all of it"

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_that_leads_elsewhere_is_not_followed(self, status: int) -> None:
        with ScriptedHttp() as elsewhere:
            answer = answered(Reply(status, headers={"Location": elsewhere.url}))
        assert answer.status == status
        assert elsewhere.connections == 0

    def test_of_just_the_size_that_is_allowed(self) -> None:
        assert len(answered(Reply(200, b"x" * 1000), max_answer=1000).body) == 1000

    @pytest.mark.parametrize(
        "act",
        [
            Reply(200, b"x" * 1001),
            Flood(HEAD + b"\r\n", b"x" * 1000),
            Flood(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
            Flood(HEAD, b"X-More: and more\r\n"),
            Flood(HEAD + b"X-Long: ", b"x" * 1000),
            Flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ],
        ids=repr,
    )
    def test_that_is_too_large_is_refused(self, act: Act) -> None:
        began = time.monotonic()
        reason = failure_at(act, max_answer=1000)
        assert "large" in reason or "malformed" in reason
        assert time.monotonic() - began < 5

    def test_whose_status_is_enough_is_not_read_further(self) -> None:
        answer = answered(Drip(HEAD + b"Content-Length: 1000\r\n\r\n"), max_answer=None)
        assert (answer.status, answer.body) == (200, b"")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"HTT",
            HEAD + b"Content-Length: 5\r\n\r\nabc",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab",
        ],
        ids=repr,
    )
    def test_that_breaks_off_is_none(self, content: bytes) -> None:
        assert failure_at(Raw(content))

    @pytest.mark.parametrize("content", [b"SMTP ready\r\n", b"\x00\xff\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"], ids=repr)
    def test_that_is_not_http_is_told(self, content: bytes) -> None:
        assert failure_at(Raw(content))


class TestTime:
    @pytest.mark.parametrize(
        "act",
        [
            Hang(),
            Drip(),
            Drip(b"HTTP/1.1 200 "),
            Drip(HEAD + b"X-Slow: "),
            Drip(HEAD + b"Content-Length: 1000\r\n\r\n"),
            Drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        ],
        ids=repr,
    )
    def test_is_never_longer_than_told(self, act: Act) -> None:
        began = time.monotonic()
        assert failure_at(act, seconds=SOON) == f"There was no answer within {SOON} seconds."
        assert SOON * 0.9 < time.monotonic() - began < 4

    def test_holds_for_the_handshake(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            reason = failure_of(f"https://127.0.0.1:{silent.getsockname()[1]}/", seconds=SOON)
        assert "no answer within" in reason

    def test_holds_for_a_body_that_nobody_reads(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="no answer within"):
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            send("POST", url, body=b"x" * 20_000_000, permits=any_address, seconds=SOON)

    def test_holds_for_the_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def slow(*_: object, **__: object) -> list[object]:
            time.sleep(3)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        began = time.monotonic()
        assert "no answer within" in failure_of("https://slow.example/", seconds=SOON)
        assert time.monotonic() - began < 2.5  # before the resolver comes back


class TestAddresses:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "0x7f000001",
            "10.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
        ],
    )
    def test_inside_are_refused_with_one_sentence(self, host: str) -> None:
        with ScriptedHttp() as server:
            assert failure_of(f"http://{host}:{server.port}/", permits=PublicOrIn(())) == "The address is not allowed."
        assert server.connections == 0

    @pytest.mark.parametrize(
        "address", ["fec0::1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "192.0.0.8", "64:ff9b::7f00:1"]
    )
    def test_inside_in_other_clothes_are_refused(self, address: str) -> None:
        assert not PublicOrIn(())(ip_address(address))

    @pytest.mark.parametrize(
        "address",
        [
            "168.63.129.16",  # Azure
            "161.26.0.10",  # IBM Cloud
            "166.9.14.2",
            "192.0.0.192",  # Oracle Cloud
            "100.100.100.200",  # Alibaba Cloud
            "169.254.169.254",  # nearly all of them, Google's metadata.google.internal too
            "fd00:ec2::254",  # AWS
            "fd20:ce::254",  # Google Cloud
            "::ffff:168.63.129.16",
            "::168.63.129.16",
            "2002:a83f:8110::1",  # 6to4
            "2001:0:4136:e378:8000:63bf:57c0:7eef",  # Teredo
            "64:ff9b::a83f:8110",  # NAT64
            "64:ff9b:1::a83f:8110",
            "64:ff9b:1:a83f:81:1000::",
        ],
    )
    def test_of_a_cloud_s_own_services_are_refused_in_all_clothes(self, address: str) -> None:
        assert not PublicOrIn(())(ip_address(address))

    def test_of_a_cloud_s_own_services_are_asked_if_the_operator_allows_it(self) -> None:
        assert PublicOrIn((ip_network("168.63.129.16/32"),))(ip_address("168.63.129.16"))

    @pytest.mark.parametrize("address", ["1.1.1.1", "168.63.129.17", "2606:4700::1111", "2002:101:101::"])
    def test_in_public_are_not(self, address: str) -> None:
        assert PublicOrIn(())(ip_address(address))

    def test_that_the_operator_allows_are_asked(self) -> None:
        permits = PublicOrIn([ip_network("127.0.0.0/8")])
        assert answered(Reply(200), permits=permits).status == 200

    def test_the_one_that_was_looked_at_is_the_one_that_is_connected_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that answers otherwise the second time it is asked has no second time."""
        asked: list[str] = []
        real = socket.getaddrinfo

        def changing(host: str, *args: Any, **kwargs: Any) -> Any:
            asked.append(host)
            return real("203.0.113.7" if len(asked) == 1 else "127.0.0.1", *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", changing)
        with ScriptedHttp() as server:
            failure_of(f"http://changing.example:{server.port}/", permits=lambda one: not one.is_loopback, seconds=SOON)
        assert asked == ["changing.example"]
        assert server.connections == 0


class TestNobodyThere:
    def test_refused(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        assert "nothing is listening" in failure_of(f"http://127.0.0.1:{port}/")

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".invalid"])
    def test_a_name_that_leads_nowhere(self, host: str) -> None:
        assert "not found" in failure_of(f"https://{host}/")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def certified(authority: trustme.CA) -> Callable[[str], ssl.SSLContext]:
    def context(name: str) -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(made)
        return made

    return context


def test_a_failure_tells_whether_somebody_was_there() -> None:
    with ScriptedHttp(lambda _request: Raw(b"")) as server, pytest.raises(Unreachable) as broken_off:
        send("GET", server.url, permits=any_address)
    assert broken_off.value.was_connected
    with pytest.raises(Unreachable) as refused:
        send("GET", server.url, permits=any_address)
    assert not refused.value.was_connected


class TestTls:
    def test_the_name_of_the_address_is_what_is_asked_for(
        self, certified: Callable[[str], ssl.SSLContext], ca_file: str
    ) -> None:
        names: list[str | None] = []
        context = certified("localhost")
        context.sni_callback = lambda _sock, name, _context: names.append(name)
        with ScriptedHttp(lambda _request: Reply(200, b"keys"), tls=context) as server:
            answer = send("GET", f"https://localhost:{server.port}/", permits=any_address, ca_file=ca_file)
        assert (answer.body, names) == (b"keys", ["localhost"])

    @pytest.mark.parametrize("flaw", ["another name", "unknown authority"])
    def test_a_certificate_that_cannot_be_verified(
        self, certified: Callable[[str], ssl.SSLContext], ca_file: str, flaw: str
    ) -> None:
        another = flaw == "another name"
        with ScriptedHttp(tls=certified("elsewhere.example" if another else "127.0.0.1")) as server:
            reason = failure_of(server.url, ca_file=ca_file if another else None)
        assert "certificate is not trusted" in reason
        assert server.requests == []

    def test_an_answer_that_drips(self, certified: Callable[[str], ssl.SSLContext], ca_file: str) -> None:
        with ScriptedHttp(lambda _request: Drip(HEAD), tls=certified("127.0.0.1")) as server:
            assert "no answer within" in failure_of(server.url, ca_file=ca_file, seconds=SOON)

    def test_a_server_that_speaks_none(self) -> None:
        with ScriptedHttp() as server:
            reason = failure_of(server.url.replace("http:", "https:"), seconds=5)
        assert reason


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "target"),
        [
            ("https://b-portal.example/hooks?a=b", Target(True, "b-portal.example", 443, "/hooks?a=b")),
            ("http://10.1.2.3:8080", Target(False, "10.1.2.3", 8080, "/")),
            ("https://[2001:db8::1]/", Target(True, "2001:db8::1", 443, "/")),
        ],
    )
    def test_are_taken_apart(self, url: str, target: Target) -> None:
        assert target_of(url) == target

    @pytest.mark.parametrize(
        "url",
        [
            *(
                "",
                "b-portal.example",
                "//b-portal.example",
                "ftp://b-portal.example/",
                "file:///etc/passwd",
                "https://",
            ),
            *("https://user:password@b-portal.example/", "https://b-portal.example\\@evil.example/", "https://@a.b/"),
            *("https://b-portal.example/a b", "https://b-portal.example/\r\nInjected: 1", "https://b-portal.example/é"),
            *(
                "https://b-portal.example:99999/",
                "https://b-portal.example:x/",
                "https://[::1/",
                "https://[fe80::1%25a]/",
            ),
            *("https://b-portal.example/#part", "https://b-pörtal.example/", f"https://b-portal.example/{'x' * 2000}"),
        ],
    )
    def test_that_cannot_be_used_are_told_from_those_that_lead_nowhere(self, url: str) -> None:
        with pytest.raises(BadUrl) as failure:
            send("GET", url, permits=any_address)
        assert failure.value.reason.endswith(".")


def test_a_reason_can_be_printed_and_is_not_too_long() -> None:
    reason = Unreachable("one\r\ntwo\x00" + "x" * 1000).reason
    assert reason.isprintable()
    assert len(reason) == REASON_LENGTH
