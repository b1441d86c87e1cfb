"""Requests under way for what is the same for everybody: whoever wants the answer too waits for it, and asks nobody."""

import threading
import time

KEPT = 60  # seconds; only who looked for the answer before it landed needs it


class Flight:
    """One request, until its answer has been taken in where everybody looks for it."""

    answer = None  # stays None where the request failed
    landed_at = None

    def __init__(self):
        self._landed = threading.Event()

    def land(self):
        """Let those go on who wait; again it does nothing."""
        self.landed_at = self.landed_at or time.monotonic()
        self._landed.set()

    def wait(self, seconds):
        """Wait until it has landed, for so long at most."""
        self._landed.wait(seconds)

    def is_of_use(self, since):
        """Tell whether it has an answer for who looks for one ``since`` then, or may have one yet."""
        return self.landed_at is None or (self.answer is not None and self.landed_at >= since)


class Flights:
    """The flights of a process, by what they fetch."""

    def __init__(self):
        self._lock = threading.Lock()
        self._known = {}

    def board(self, key, since, remaining):
        """Return the flight of ``key`` with the answer in it, or without: then it is the caller's to make and to land.

        ``since`` is when the caller began to look for the answer (time.monotonic), ``remaining`` tells the seconds
        that are left for it, or raises. A failure is nobody else's: of those who waited, the next one tries.
        """
        while True:
            with self._lock:
                flight = self._known.get(key)
                if flight is None or not flight.is_of_use(since):
                    return self._new(key)
            if flight.answer is not None and flight.landed_at is not None:
                return flight
            flight.wait(remaining())

    def _new(self, key):
        flight, past = Flight(), time.monotonic() - KEPT
        self._known = {name: one for name, one in self._known.items() if (one.landed_at or past) >= past}
        self._known[key] = flight
        return flight
