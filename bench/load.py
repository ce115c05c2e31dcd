"""The measuring client: asks as fast as it is answered. A small process of its own, so that the server is the
bottleneck.

    python -m bench.load PORT SECONDS CONNECTIONS PATH [HEADERS AS JSON]

It prints the answers per second of all its connections together. The connections stay open.
"""

from __future__ import annotations

import json
import sys
from http.client import HTTPConnection
from threading import Barrier, Thread
from time import perf_counter


def answers_a_second(port: int, seconds: float, connections: int, path: str, headers: dict[str, str]) -> float:
    start = Barrier(connections)
    rates: list[float] = []

    def ask_on() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        start.wait()
        began, answers = perf_counter(), 0
        while (taken := perf_counter() - began) < seconds:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.read()
            assert response.status in (200, 204), response.status
            answers += 1
        connection.close()
        rates.append(answers / taken)

    threads = [Thread(target=ask_on) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rates) == connections, "a connection broke"
    return sum(rates)


if __name__ == "__main__":
    port, seconds, connections, path, *rest = sys.argv[1:]
    headers = json.loads(rest[0]) if rest else {}
    print(answers_a_second(int(port), float(seconds), int(connections), path, headers))
