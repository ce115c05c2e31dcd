"""W3C WebDriver, spoken to Firefox by its Marionette protocol and to WebKitGTK over HTTP.

Both take the same commands, which the standard names. So they differ in how a command travels, and in nothing else. No
driver program of Firefox's is needed: Marionette is built into it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar

from config import ROOT

Driver = TypeVar("Driver")

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key under which the standard passes an element."""
START_SECONDS = 60
COMMAND_SECONDS = 60

# What the standard calls a command, and how it goes over HTTP. "{id}" is one of its parameters.
_COMMANDS = {
    "Navigate": "POST /url",
    "Back": "POST /back",
    "Forward": "POST /forward",
    "Refresh": "POST /refresh",
    "ExecuteScript": "POST /execute/sync",
    "ElementClick": "POST /element/{id}/click",
    "ElementClear": "POST /element/{id}/clear",
    "ElementSendKeys": "POST /element/{id}/value",
    "PerformActions": "POST /actions",
    "SwitchToFrame": "POST /frame",
    "SwitchToWindow": "POST /window",
    "GetWindowHandle": "GET /window",
    "GetWindowHandles": "GET /window/handles",
    "AddCookie": "POST /cookie",
    "SetWindowRect": "POST /window/rect",
    "TakeScreenshot": "GET /screenshot",
}


def find_browsers() -> dict[str, str]:
    """The paths of Firefox and WebKitGTK's MiniBrowser; without them a line that says what to do."""
    script = ROOT / "scripts" / "ensure_browsers.sh"
    found = subprocess.run([script, "--find"], capture_output=True, text=True, check=False)
    if found.returncode:
        raise FileNotFoundError(found.stderr.strip())
    return dict(zip(("firefox", "webkit"), found.stdout.splitlines(), strict=True))


class WebDriverError(Exception):
    """The browser could not do it; its own words."""


class WebDriver:
    """A browser with one session."""

    name: str
    version: str

    def do(self, command: str, **parameters: Any) -> Any:
        """Have the browser do a command of the standard. Raises `WebDriverError` if it cannot."""
        raise NotImplementedError

    def script(self, body: str, *args: Any) -> Any:
        """Run the body of a function in the page; it finds its arguments in `arguments`."""
        return self.do("ExecuteScript", script=body, args=list(args))

    def complaints(self) -> list[str]:
        """What the browser's own console holds, where it can be read."""
        return []


class Firefox(WebDriver):
    name = "Firefox"

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=COMMAND_SECONDS)
        self._answers = self._socket.makefile("rb")
        self._sent = 0
        self._receive()  # its greeting
        self.version = self._call("WebDriver:NewSession", {"capabilities": {}})["capabilities"]["browserVersion"]

    def do(self, command: str, **parameters: Any) -> Any:
        answer = self._call(f"WebDriver:{command}", parameters)
        return answer["value"] if isinstance(answer, dict) and set(answer) == {"value"} else answer

    def complaints(self) -> list[str]:
        """Errors of scripts, styles, security and the network that name one of the pages on this machine."""
        self._call("Marionette:SetContext", {"value": "chrome"})
        try:
            found: list[str] = self.script(
                """return Services.console.getMessageArray()
                  .filter((said) => said instanceof Ci.nsIScriptError && /^http/.test(said.sourceName))
                  .map((said) => `${said.category}: ${said.errorMessage} (${said.sourceName}:${said.lineNumber})`)"""
            )
        finally:
            self._call("Marionette:SetContext", {"value": "content"})
        return found

    def end(self) -> None:
        self._answers.close()
        self._socket.close()

    def _call(self, command: str, parameters: dict[str, Any]) -> Any:
        self._sent += 1
        words = json.dumps([0, self._sent, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(words), words))
        _kind, _number, error, answer = self._receive()
        if error:
            raise WebDriverError(f"{command}: {error['error']}: {error['message']}")
        return answer

    def _receive(self) -> Any:
        """A message is its length, a colon, and that much JSON."""
        length = b""
        while (byte := self._answers.read(1)) != b":":
            if not byte:
                raise WebDriverError("Firefox has gone")
            length += byte
        return json.loads(self._answers.read(int(length)))


class WebKit(WebDriver):
    name = "WebKitGTK"

    def __init__(self, port: int, browser: str) -> None:
        self._port = port
        options = {"binary": browser, "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        begun = self._ask("POST", "/session", {"capabilities": wanted})
        self._session = f"/session/{begun['sessionId']}"
        self.version = begun["capabilities"]["browserVersion"]

    def do(self, command: str, **parameters: Any) -> Any:
        method, path = _COMMANDS[command].split()
        return self._ask(method, self._session + path.format_map(parameters), parameters)

    def end(self) -> None:
        self._ask("DELETE", self._session, {})

    def _ask(self, method: str, path: str, parameters: dict[str, Any]) -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=COMMAND_SECONDS)
        try:
            connection.request(method, path, json.dumps(parameters) if method == "POST" else None)
            response = connection.getresponse()
            value = json.load(response)["value"]
        finally:
            connection.close()
        if response.status != 200:
            raise WebDriverError(f"{method} {path}: {value['error']}: {value['message']}")
        return value


@contextmanager
def firefox(program: str, folder: Path, **preferences: object) -> Iterator[Firefox]:
    """Firefox without windows, with a profile of its own in the folder."""
    port = _free_port()
    preferences |= {"marionette.port": port, "browser.download.dir": str(folder), "browser.download.folderList": 2}
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
    (folder / "user.js").write_text("\n".join(lines))
    # System access is for its console.
    words = ["--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", str(folder)]
    with _running([program, *words], folder / "firefox.log"):
        window = _when_it_listens(lambda: Firefox(port))
        try:
            yield window
        finally:
            window.end()


@contextmanager
def webkit(browser: str, folder: Path) -> Iterator[WebKit]:
    """WebKitGTK's own small browser, in a display that nobody sees."""
    port = _free_port()
    with ExitStack() as stack:
        display = stack.enter_context(_display())
        stack.enter_context(
            _running(["WebKitWebDriver", f"--port={port}"], folder / "webkit.log", DISPLAY=display, NO_AT_BRIDGE="1")
        )
        window = _when_it_listens(lambda: WebKit(port, browser))
        try:
            yield window
        finally:
            window.end()


@contextmanager
def _display() -> Iterator[str]:
    reading, writing = os.pipe()
    words = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
    process = subprocess.Popen(words, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as told:
        number = told.readline().strip()
    try:
        assert number, "Xvfb does not start"
        yield f":{number}"
    finally:
        _end(process)


@contextmanager
def _running(words: list[str], log: Path, **environment: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(words, env=os.environ | environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _when_it_listens(connect: Callable[[], Driver]) -> Driver:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return connect()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
