"""The two transports, alike to what tests them: each answers in the thread that asks."""

import asyncio
import threading

from numverify_django import aio, transport
from numverify_django.calls import Call, converse


class Threads:
    """``requests``, in this thread."""

    def send(self, request, deadline, correlator=""):
        """Return the Response to ``request``, or raise."""
        return transport.send(Call(request, deadline, correlator))

    def run(self, conversation, deadline, correlator="", **options):
        """Return what ``conversation`` returns, or raise."""
        return self.drive(converse(conversation, deadline, correlator, **options))

    def drive(self, steps):
        """Return what the coroutine ``steps`` returns, or raise."""
        return transport.run(steps)

    def warm(self, url, seconds, times=1):
        """Open a connection to ``url`` ahead, for so many logins, and wait until that is over."""
        for _ in range(times):
            transport.warm([url], seconds)
        for thread in [thread for thread in threading.enumerate() if thread.name == "numverify-warm"]:
            thread.join(seconds + 5)
            assert not thread.is_alive()

    def stop(self):
        """Nothing is left behind."""


class Loop:
    """``aiohttp``, in an event loop of its own thread, which ``stop`` ends."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, coroutine):
        """Return what ``coroutine`` returns in the loop, or raise what it raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(8)

    def send(self, request, deadline, correlator=""):
        """Return the Response to ``request``, or raise."""
        return self.do(aio.send(Call(request, deadline, correlator)))

    def run(self, conversation, deadline, correlator="", **options):
        """Return what ``conversation`` returns, or raise."""
        return self.drive(converse(conversation, deadline, correlator, **options))

    def drive(self, steps):
        """Return what the coroutine ``steps`` returns, or raise."""
        return self.do(aio.run(steps))

    def warm(self, url, seconds, times=1):
        """Open a connection to ``url`` ahead, for so many logins, and wait until that is over."""

        async def warm():
            for _ in range(times):
                aio.warm([url], seconds)
            await asyncio.gather(*aio._warming)

        self.do(warm())

    def stop(self):
        """End the loop as a server does."""
        self.do(self.loop.shutdown_asyncgens())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


CARRIERS = {"threads": Threads, "loop": Loop}
