"""An operator over TLS in a process of its own: ``python -m tests.servers.operator FOLDER``.

It prints where it listens, then takes one JSON command a line, [name, argument...], and answers each in a line. It ends
with its input, so that it outlives nobody.
"""

import json
import ssl
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from ..hostile import tokens
from ..hostile.operator import Operator, Reply
from ..test_transport import LOOPBACK, certificate

PATIENCE = 20  # seconds


class Exchange(Operator):
    """It vouches for every number, and counts what it is asked; a command is one of its methods."""

    def __init__(self, context):
        super().__init__()
        self._tls, self.url = context, f"https://127.0.0.1:{self.port}"

    def _serve(self, connection):
        with suppress(OSError):
            secured = self._tls.wrap_socket(connection, server_side=True)
            self.connections.append(secured)  # wrapping has closed the other
            super()._serve(secured)

    def restore(self):
        """Be honest again, with an empty memory."""
        super().restore()
        self.verify = lambda operator, received: Reply({"devicePhoneNumberVerified": True})
        self.lag = 0.0
        self.gathering = None  # a threading.Barrier
        self.asked = []  # the hops, oldest first
        self.talks = {}  # a connection's thread -> what was asked on it

    def answer(self, received):
        """Return what the endpoint of this request returns, once it is counted."""
        self.received.clear()  # ten thousand logins are not remembered whole
        self.asked.append(received.hop)
        self.talks.setdefault(threading.current_thread().name, []).append(received.hop)
        if received.hop != "authorize":
            time.sleep(self.lag)
        if received.hop == "token" and self.gathering:
            with suppress(threading.BrokenBarrierError):
                self.gathering.wait(PATIENCE)
        return super().answer(received)

    def count(self):
        """Return how often each hop was asked for since the last count."""
        asked, self.asked = self.asked, []
        return Counter(asked)

    def told(self):
        """Return what was asked on each connection (lists of hops, oldest first), the browsers' left out."""
        return [hops for hops in self.talks.values() if "authorize" not in hops]

    def delay(self, seconds):
        """Let every answer to a site take so long."""
        self.lag = seconds

    def gather(self, count):
        """Answer no token request before so many wait at once, or the first has waited for PATIENCE seconds."""
        self.gathering = threading.Barrier(count)

    def gathered(self):
        """Tell whether so many did."""
        return not self.gathering.broken

    def break_down(self, hop):
        """Answer ``hop`` with an error of the server."""
        setattr(self, hop, lambda operator, received: Reply({}, 503))

    def rotate(self):
        """Sign with a new key, and withdraw the one before."""
        self.kid = f"key-{time.monotonic_ns()}"
        self.keys = {self.kid: tokens.rsa_key(self.kid)}


def say(answer):
    """Print a line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main():
    folder = Path(sys.argv[1])
    file = folder / "operator.pem"
    file.write_bytes(certificate(LOOPBACK))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    operator = Exchange(context)
    say({"url": operator.url, "trust": str(file)})
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        say(getattr(operator, name)(*arguments))
    operator.close()


if __name__ == "__main__":
    main()
