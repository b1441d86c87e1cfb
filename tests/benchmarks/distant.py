"""The operator as far away as it is told to be."""

import json
import time
import urllib.request

from . import processes


class Distant:
    """The operator and the proxy in front of it."""

    def __init__(self, operator, proxy):
        self._operator, self._proxy = operator, proxy

    @property
    def issuer(self):
        """Where sites find it."""
        return f"https://127.0.0.1:{self._proxy.ports[0]}"

    @property
    def phones(self):
        """The port that phones find it at."""
        return self._operator.ports[1]

    def set_round_trip(self, ms):
        """Move it; what is on its way arrives before."""
        time.sleep(0.1)
        self._proxy.tell(ms)

    def cpu(self):
        """Return the seconds of CPU that it and the way to it have used."""
        return self._operator.cpu() + self._proxy.cpu()

    def counts(self):
        """Return what it counted so far."""
        return self._ask("/counts")

    def close_idle(self):
        """Let it close its connections, and wait until the sites can know."""
        self._ask("/close", b"")
        time.sleep(0.25)

    def _ask(self, path, data=None):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.phones}{path}", data, timeout=10) as answer:
            return json.load(answer)


def start(stack, folder):
    """Return the Distant operator, which ends with ``stack``; its certificate is in ``folder``."""
    proxy = processes.Helper("proxy")
    stack.callback(proxy.stop)
    issuer = f"https://127.0.0.1:{proxy.ports[0]}"
    operator = processes.Helper("operator", "--folder", folder, "--issuer", issuer)
    stack.callback(operator.stop)
    proxy.tell(operator.ports[0])
    return Distant(operator, proxy)
