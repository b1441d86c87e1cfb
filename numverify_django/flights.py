"""Requests under way for what is the same for everybody: whoever wants the answer too waits for it, and asks nobody."""

import asyncio
import concurrent.futures
import os
import threading
import time
from typing import Protocol

from .protocol.messages import Request, Response

KEPT = 60  # seconds; only who looked for the answer before it landed needs it


class Asked(Protocol):
    """What is looked for: a Call."""

    request: Request
    since: float


class Flight:
    """One request, until its answer has been taken in where everybody looks for it."""

    answer: Response | None = None  # stays None where the request failed
    landed_at: float | None = None

    def __init__(self) -> None:
        self._landed: concurrent.futures.Future[None] = concurrent.futures.Future()

    def land(self) -> None:
        """Let those go on who wait; again it does nothing."""
        if self.landed_at is None:
            self.landed_at = time.monotonic()
            self._landed.set_result(None)

    def wait(self, seconds: float) -> None:
        """Wait until it has landed, for so long at most."""
        concurrent.futures.wait([self._landed], seconds)

    async def awaited(self, seconds: float) -> None:
        """Do the same in an event loop."""
        await asyncio.wait([asyncio.wrap_future(self._landed)], timeout=seconds)

    def is_of_use(self, since: float) -> bool:
        """Tell whether it has an answer for who looks for one ``since`` then, or may have one yet."""
        return self.landed_at is None or (self.answer is not None and self.landed_at >= since)


class Flights:
    """The flights of a process, by what they fetch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Flight] = {}

    def look(self, key: str, since: float) -> tuple[Flight, bool]:
        """Return the flight of ``key``, and whether to wait until it has landed and then to look again.

        ``since`` is when the caller began to look for the answer (time.monotonic). A flight that is not waited for has
        the answer, or is the caller's own to make and to land. A failure is nobody else's: of those who waited, the
        next one tries.
        """
        with self._lock:
            flight = self._known.get(key)
            if flight is None or not flight.is_of_use(since):
                return self._new(key), False
        return flight, flight.answer is None or flight.landed_at is None

    def _new(self, key: str) -> Flight:
        flight, past = Flight(), time.monotonic() - KEPT
        self._known = {name: one for name, one in self._known.items() if (one.landed_at or past) >= past}
        self._known[key] = flight
        return flight


_flights = Flights()


def look(call: Asked) -> tuple[Flight, bool]:
    """Do so for a Call: what is not the same for everybody has a flight of its own."""
    request = call.request
    return _flights.look(request.url, call.since) if request.is_public else (Flight(), False)


def _forget() -> None:
    global _flights  # noqa: PLW0603 - a fork starts anew: nobody in it flies what its parent has under way
    _flights = Flights()


os.register_at_fork(after_in_child=_forget)
