"""What a new connection to the operator costs one site's process, in milliseconds of CPU: the printed number.

::

    python -m tests.benchmarks.connect ours https://127.0.0.1:PORT

The same document is fetched on kept connections, and then with an answer that ends the connection each time; the number
is the difference of a fetch.
"""

import sys
import time

import requests

FETCHES = 60


def naive(url, keeps):
    """Fetch ``url`` as peers do; on a kept connection they would, if they kept a session."""
    with requests.Session() as session:
        for _ in range(FETCHES):
            (session if keeps else requests).get(url, timeout=10).raise_for_status()


def floor(url, keeps):
    """Fetch ``url`` on the floor's session."""
    from .sites.floor import operator

    for _ in range(FETCHES):
        operator.session.get(url, timeout=10).raise_for_status()


def ours(url, keeps):
    """Fetch ``url`` with our transport."""
    from numverify_django import transport
    from numverify_django.calls import Call, Deadline
    from numverify_django.protocol.messages import Request

    for _ in range(FETCHES):
        assert transport.send(Call(Request("jwks", "GET", url), Deadline(10))).status == 200


SITES = {"ours": ours, "mozilla": naive, "allauth": naive, "floor": floor}


def cost(site, issuer):
    """Return the milliseconds of CPU of one new connection."""
    fetch, took = SITES[site], []
    fetch(f"{issuer}/jwks", keeps=True)  # what is made once is not counted
    for path, keeps in (("jwks", True), ("jwks-and-close", False)):
        begun = time.process_time()
        fetch(f"{issuer}/{path}", keeps)
        took.append(time.process_time() - begun)
    return (took[1] - took[0]) / FETCHES * 1000


if __name__ == "__main__":
    sys.stdout.write(f"{cost(*sys.argv[1:])}\n")
