"""Things that may be used once, and only for a while: codes, access tokens, nonces, assertions' identifiers."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Expiring(Generic[Key, Value]):
    """A mapping for many threads whose entries live ``lifetime`` seconds and are given away once."""

    def __init__(self, lifetime: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.lifetime = lifetime
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[Key, tuple[float, Value]] = {}

    def put(self, key: Key, value: Value) -> bool:
        """Keep ``value``; tell whether ``key`` was new."""
        with self._lock:
            self._forget_expired()
            is_new = self._entries.pop(key, None) is None
            self._entries[key] = (self._clock() + self.lifetime, value)
            return is_new

    def take(self, key: Key) -> Value | None:
        """Return the value and forget it, so that one caller alone gets it; None if it is unknown or expired."""
        with self._lock:
            self._forget_expired()
            return self._entries.pop(key, (None, None))[1]

    def __contains__(self, key: Key) -> bool:
        with self._lock:
            self._forget_expired()
            return key in self._entries

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def _forget_expired(self) -> None:
        # Entries of one lifetime stand in the order of their expiry: stop at the first that lives.
        now = self._clock()
        for key in list(self._entries):
            if self._entries[key][0] > now:
                return
            del self._entries[key]
