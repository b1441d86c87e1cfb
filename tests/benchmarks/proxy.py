"""A TCP proxy that makes the operator far away: what arrives at one end leaves at the other half a round trip later.

Run as a process it prints the port it listens on. Its standard input has the port to lead to, then, whenever it is to
change, the round trip in milliseconds; each line is answered with a line, and the end of the input ends it::

    python -m tests.benchmarks.proxy

A connection's own round trip is charged too: its first bytes leave as late as if the handshake of TCP had travelled.
Those of TLS travel as anything else.
"""

import asyncio
import sys

IN_ORDER = 1e-6  # seconds between two deliveries: the loop keeps no order of what is due at once


class Road:
    """The way to the operator: ``seconds`` there and back."""

    def __init__(self, port):
        self.port, self.seconds = port, 0.0


class End(asyncio.Protocol):
    """One end of a carried connection; ``opens_at`` (the loop's time) is when the first bytes can set out."""

    def __init__(self, road, opens_at, other=None):
        self._road, self._due = road, opens_at
        self.other, self.transport = other, None

    def connection_made(self, transport):
        """Be there to be written to."""
        self.transport = transport

    def data_received(self, data):
        """Carry it."""
        self._later(self.other.write, data)

    def connection_lost(self, error):
        """Carry that too."""
        if self.other is not None:
            self._later(self.other.close)

    def write(self, data):
        """Let it out, unless this end is closed."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def close(self):
        """End it."""
        self.transport.close()

    def _later(self, act, *args):
        loop = asyncio.get_running_loop()
        self._due = max(loop.time() + self._road.seconds / 2, self._due + IN_ORDER)
        loop.call_at(self._due, act, *args)


class Entrance(End):
    """The end that a site connects to."""

    def __init__(self, road):
        loop = asyncio.get_running_loop()
        super().__init__(road, loop.time() + road.seconds * 3 / 2)

    def connection_made(self, transport):
        """Open the other end before anything is read here."""
        super().connection_made(transport)
        transport.pause_reading()
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self):
        loop, exit_ = asyncio.get_running_loop(), End(self._road, 0, self)
        try:
            await loop.create_connection(lambda: exit_, "127.0.0.1", self._road.port)
        except OSError:
            self.transport.abort()
            return
        self.other = exit_
        if self.transport.is_closing():
            exit_.close()
        else:
            self.transport.resume_reading()


async def serve():
    """Serve, and do as standard input says, until it ends."""
    loop, road = asyncio.get_running_loop(), Road(0)
    server = await loop.create_server(lambda: Entrance(road), "127.0.0.1", 0, backlog=512)
    _say(server.sockets[0].getsockname()[1])
    road.port = int(await asyncio.to_thread(sys.stdin.readline))
    _say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        road.seconds = float(line) / 1000
        _say("ready")


def _say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
