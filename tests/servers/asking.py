"""Ask an operator from many threads of one process: ``python -m tests.servers.asking URL THREADS TIMES``.

It prints how often each status came, and how many sockets are still open then.
"""

import json
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from numverify_django import transport
from numverify_django.calls import Call, Deadline
from numverify_django.protocol.messages import Request


def main():
    url, threads, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    barrier = threading.Barrier(threads)

    def ask(_):
        barrier.wait()
        return [transport.send(Call(Request("jwks", "GET", url), Deadline(20))).status for _ in range(times)]

    with ThreadPoolExecutor(threads) as pool:
        statuses = Counter(status for found in pool.map(ask, range(threads)) for status in found)
    sockets = sum(link.is_socket() for link in Path("/proc/self/fd").iterdir())
    sys.stdout.write(json.dumps({"statuses": statuses, "sockets": sockets}))


if __name__ == "__main__":
    main()
