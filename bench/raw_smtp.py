"""The floor of sending: finished messages, sent with nothing but smtplib. A process of its own.

    python -m bench.raw_smtp PORT FILE

FILE holds the mails as JSON, `[[recipient, content], …]`. A line of JSON on stdin, `{"connections": N}`, sends them all
over N connections, each with a thread. It is answered by when sending began and ended, by the monotonic clock. With
`"push": true` the client waits for no reply it can do without, which shows how much the sink can take.
"""

from __future__ import annotations

import json
import smtplib
import socket
import sys
from collections import deque
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from threading import Thread
from time import monotonic

SENDER = "no-reply@clients.harbour.test"

Mail = tuple[str, bytes]


def send_all(port: int, mails: list[Mail], connections: int) -> None:
    left = deque(mails)

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost") as server:
            while True:
                try:
                    recipient, content = left.popleft()
                except IndexError:
                    break
                server.sendmail(SENDER, [recipient], content)

    threads = [Thread(target=send) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def push_all(port: int, mails: list[Mail], connections: int) -> None:
    """Send with as little work as possible: the bytes are prepared before, and the replies are not parsed."""
    left = deque(
        (
            f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode(),
            content.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n",
        )
        for recipient, content in mails
    )
    selector = DefaultSelector()
    for _ in range(min(connections, len(left))):
        server = socket.create_connection(("127.0.0.1", port))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.recv(1000)
        announcement, content = left.popleft()
        server.sendall(announcement)
        selector.register(server, EVENT_READ, content)
    while selector.get_map():
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            server, content = key.fileobj, key.data
            reply = server.recv(1000)
            if content is not None and b"354" in reply:
                server.sendall(content)
                selector.modify(server, EVENT_READ, None)
            elif content is None and b"250" in reply:
                if left:
                    announcement, content = left.popleft()
                    server.sendall(announcement)
                    selector.modify(server, EVENT_READ, content)
                else:
                    selector.unregister(server)
                    server.close()


def main() -> None:
    port, file = int(sys.argv[1]), Path(sys.argv[2])
    mails = [(recipient, content.encode()) for recipient, content in json.loads(file.read_text())]
    print("{}", flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        send = push_all if question.get("push") else send_all
        began = monotonic()
        send(port, mails, question["connections"])
        print(json.dumps({"began": began, "ended": monotonic()}), flush=True)


if __name__ == "__main__":
    main()
