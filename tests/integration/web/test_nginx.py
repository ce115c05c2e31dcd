"""nginx as deploy/nginx/ sets it up, in front of a server that tells what it was asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
import trustme

from app.core.links import LinkKind
from config import ROOT
from tests.support.processes import wait_until

CONFIGURATION = ROOT / "deploy/nginx"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx)")

KEY = "eyJhbGciOi-a-key_of-an-invitation"
HOST = "clients.example.com"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked, as JSON."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        body = json.dumps({"path": self.path, "length": length, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def set_up(folder: Path, site: str, backend: int) -> SimpleNamespace:
    """Write nginx's configuration: that of the repository, with ports, certificate and logs of this test."""
    place = SimpleNamespace(folder=folder, http=free_port(), https=free_port())
    certificate = trustme.CA().issue_cert(HOST)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.pem"))
    (folder / "snippets").mkdir()
    (folder / "snippets/imported-clients.conf").write_text((CONFIGURATION / "location.conf").read_text())
    site = site.replace("/var/log/nginx", str(folder))
    site = re.sub(r"listen \[::\]:.*;", "", site)
    site = site.replace("listen 80;", f"listen 127.0.0.1:{place.http};")
    site = site.replace("listen 443 ", f"listen 127.0.0.1:{place.https} ")
    site = re.sub(r"(ssl_certificate(_key)?) \S+;", rf"\1 {folder}/tls.pem;", site)
    site = re.sub(r"server (127\.0\.0\.1:8000|web:8000 resolve);", f"server 127.0.0.1:{backend};", site)
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off; worker_processes 1;\n"
        "events {}\n"
        f"http {{\naccess_log {folder}/access.log;\n"
        + "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"{(CONFIGURATION / 'http.conf').read_text()}\n{site}\n}}\n"
    )
    return place


def command(place: SimpleNamespace, *words: str) -> list[str]:
    # Its processes may otherwise be another user's, who may not enter a test's folder.
    user = ["-g", "user root;"] if os.getuid() == 0 else []
    return [str(NGINX), "-p", str(place.folder), "-c", str(place.folder / "nginx.conf"), *user, *words]


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(params=["", "/clients"], ids=["root", "prefix"])
def nginx(request: pytest.FixtureRequest, tmp_path: Path, backend: int) -> Iterator[SimpleNamespace]:
    """The site as it stands, and with the locations below a path that it has as a comment."""
    site = (CONFIGURATION / "imported-clients.conf").read_text()
    if request.param:
        stands, commented = (
            re.findall(rf"^    {mark}location = .*?}}\n    {mark}location .*?}}\n", site, re.MULTILINE | re.DOTALL)[0]
            for mark in ("", "# ")
        )
        site = site.replace(commented, "").replace(stands, commented.replace("# ", ""))
    place = set_up(tmp_path, site, backend)
    place.prefix = request.param
    process = subprocess.Popen(command(place), stderr=subprocess.PIPE)

    def answers() -> bool:
        assert process.poll() is None, process.communicate()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", place.https)) == 0

    wait_until(answers, "nginx answers")
    yield place
    process.terminate()
    process.communicate(timeout=10)


def ask(place: SimpleNamespace, method: str, path: str, **more: object) -> tuple[int, dict]:
    context = ssl._create_unverified_context()
    connection = HTTPSConnection("127.0.0.1", place.https, context=context, timeout=20)
    connection.request(method, path, **more)  # type: ignore[arg-type]
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body) if answer.status == 200 else {}


def test_the_application_is_told_the_truth_and_no_log_holds_a_key(nginx: SimpleNamespace) -> None:
    lies = {
        "Host": HOST,
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Prefix": "/evil.test",
        "X-Request-ID": "chosen-by-the-browser",
        "Referer": f"https://{HOST}/invitations/{KEY}",
    }
    status, asked = ask(nginx, "GET", f"{nginx.prefix}/invitations/{KEY}?q=Nordwind", headers=lies)
    assert (status, asked["path"]) == (200, f"/invitations/{KEY}?q=Nordwind")
    told = asked["headers"]
    assert told["Host"] == HOST
    assert told["X-Forwarded-For"] == "127.0.0.1"
    assert told["X-Forwarded-Host"] == HOST
    assert told["X-Forwarded-Proto"] == "https"
    assert told.get("X-Forwarded-Prefix", "") == nginx.prefix
    assert re.fullmatch("[0-9a-f]{32}", told["X-Request-ID"])

    # Who comes without https is sent there, and is in no log that others read either.
    connection = HTTPConnection("127.0.0.1", nginx.http, timeout=10)
    connection.request("GET", f"{nginx.prefix}/invitations/{KEY}", headers=lies)
    assert connection.getresponse().status == 308
    connection.close()

    for kind in LinkKind:
        assert ask(nginx, "GET", f"{nginx.prefix}/{kind}/{KEY}")[0] == 200

    log = nginx.folder / "imported-clients.log"
    wait_until(lambda: len(log.read_text().splitlines()) == 2 + len(LinkKind), "all requests are logged")
    assert told["X-Request-ID"] in log.read_text()
    logs = "".join(path.read_text() for path in nginx.folder.glob("*.log"))
    for kind in LinkKind:
        assert f"{nginx.prefix}/{kind}/..." in logs
    assert KEY not in logs
    assert "Nordwind" not in logs


def test_uploads_pass_up_to_what_the_application_reads_and_metrics_do_not(nginx: SimpleNamespace) -> None:
    for size, status in ((3 * 1024**2 + 1000, 200), (32 * 1024**2, 200), (32 * 1024**2 + 1, 413)):
        answer, asked = ask(nginx, "POST", f"{nginx.prefix}/import", body=bytes(size))
        assert (answer, asked.get("length", size)) == (status, size)
    assert ask(nginx, "GET", f"{nginx.prefix}/metrics")[0] == 404
    connection = HTTPConnection("127.0.0.1", nginx.http, timeout=10)
    connection.request("GET", "/login?next=/", headers={"Host": HOST})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (308, f"https://{HOST}/login?next=/")
    connection.close()


def test_nginx_understands_the_site_of_the_compose_file(tmp_path: Path, backend: int) -> None:
    site = (CONFIGURATION / "compose.conf").read_text()
    version = subprocess.run([str(NGINX), "-v"], capture_output=True, text=True, check=True).stderr
    newest = [int(part) for part in re.findall(r"\d+", version)[:3]] >= [1, 27, 3]
    if not newest:
        # The image's nginx knows these two lines.
        site = re.sub(r"^ *(resolver 127.*|http2 on);\n", "", site, flags=re.MULTILINE)
    place = set_up(tmp_path, site, backend)
    done = subprocess.run(command(place, "-t", "-q"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
