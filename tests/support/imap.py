"""An IMAP server on loopback with one mailbox: what IMAPClient and the job need of RFC 3501 and UIDPLUS (RFC 4315)."""

from __future__ import annotations

import base64
import re
import socketserver
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Self


@dataclass
class Message:
    content: bytes
    flags: set[str] = field(default_factory=set)


class ImapServer:
    """What tests see. `refuses` is the answer to a sign-in, if it is not taken; `uid_plus`: whether it has UIDPLUS."""

    def __init__(self, user: str = "reports", password: str = "a word") -> None:
        self.reset(user, password)
        self._server = _Server(("127.0.0.1", 0), _Session)
        self._server.mailbox = self
        self.port = self._server.server_address[1]

    def reset(self, user: str, password: str) -> None:
        """Let it be as if it were new, at the same port."""
        self.user, self.password = user, password
        self.messages: dict[int, Message] = {}
        self.validity = 7
        self.refuses: str | None = None
        self.has_uid_plus = True
        self.commands: list[str] = []
        self._newest = 0

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def deliver(self, content: bytes) -> int:
        """Put a message into the mailbox, and return its UID."""
        self._newest += 1
        self.messages[self._newest] = Message(content)
        return self._newest

    @property
    def unseen(self) -> list[int]:
        return [uid for uid, one in self.messages.items() if "\\Seen" not in one.flags]

    def fetched(self) -> list[int]:
        """The UIDs that were fetched, in their order."""
        return [int(uid) for one in self.commands for uid in re.findall(r"UID FETCH (\d+)", one)]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    mailbox: ImapServer


class _Session(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self._say(b"* OK ready")
        while line := self.rfile.readline():
            tag, _, command = line.decode("utf-8", "replace").strip().partition(" ")
            self.server.mailbox.commands.append(command)
            verb, _, rest = command.partition(" ")
            if verb.upper() == "UID":
                verb, _, rest = rest.partition(" ")
                verb = f"uid_{verb}"
            result = getattr(self, f"_{verb.lower()}")(rest)
            self._say(f"{tag} {result or 'OK done'}".encode())
            if verb.upper() == "LOGOUT":
                return

    def _say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")

    def _capability(self, _rest: str) -> None:
        self._say(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN" + (b" UIDPLUS" if self.server.mailbox.has_uid_plus else b""))

    def _login(self, rest: str) -> str | None:
        box = self.server.mailbox
        if box.refuses:
            return f"NO {box.refuses} ({rest})"
        return None if rest == f'"{box.user}" "{box.password}"' or rest == f'{box.user} "{box.password}"' else "NO no"

    def _authenticate(self, _rest: str) -> str | None:
        self._say(b"+ ")
        said = base64.b64decode(self.rfile.readline()).decode().split("\0")
        return None if said == ["", self.server.mailbox.user, self.server.mailbox.password] else "NO no"

    def _select(self, rest: str) -> str | None:
        if rest.strip('"') != "INBOX":
            return "NO no such folder"
        box = self.server.mailbox
        self._say(f"* {len(box.messages)} EXISTS\r\n* OK [UIDVALIDITY {box.validity}] UIDs valid".encode())
        return "OK [READ-WRITE] done"

    def _uid_search(self, rest: str) -> None:
        (first,) = re.findall(r"UID (\d+):\*", rest)
        uids = list(self.server.mailbox.messages)
        # "n:*" always holds the newest message (RFC 3501, 9).
        found = [uid for uid in uids if uid >= int(first) or uid == max(uids)]
        self._say(f"* SEARCH {' '.join(map(str, found))}".rstrip().encode())

    def _uid_fetch(self, rest: str) -> None:
        uid, most = map(int, re.findall(r"^(\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", rest)[0])
        if one := self.server.mailbox.messages.get(uid):
            content = one.content[:most]
            place = list(self.server.mailbox.messages).index(uid) + 1
            self._say(b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n%s)" % (place, uid, len(content), content))

    def _uid_store(self, rest: str) -> None:
        uid = int(rest.split()[0])
        if one := self.server.mailbox.messages.get(uid):
            one.flags.update(re.findall(r"\\\w+", rest))

    def _uid_expunge(self, rest: str) -> None:
        self._drop({int(rest)})

    def _expunge(self, _rest: str) -> None:
        self._drop(set(self.server.mailbox.messages))

    def _drop(self, uids: set[int]) -> None:
        messages = self.server.mailbox.messages
        for uid in [one for one in sorted(uids) if one in messages and "\\Deleted" in messages[one].flags]:
            self._say(b"* %d EXPUNGE" % (list(messages).index(uid) + 1))
            del messages[uid]

    def _logout(self, _rest: str) -> None:
        self._say(b"* BYE")

    def _noop(self, _rest: str) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            return lambda _rest: "BAD unknown command"
        raise AttributeError(name)
