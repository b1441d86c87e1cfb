"""The log of requests, hop by hop, with everything secret cut out before it is kept."""

import re
import threading
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

LIMIT = 500
CUT = "…"
LONGEST = 200

# The last segment of a path tells the hop, so that a wrong prefix in a site's settings is seen here as a 404.
HOP_BY_SEGMENT = {
    "openid-configuration": "discovery",
    "jwks": "jwks",
    "authorize": "authorize",
    "token": "token",
    "verify": "verify",
    "share": "share",
    "device-phone-number": "share",
}

# Only these are shown; a parameter that is not listed may be a secret.
SHOWN = frozenset(
    {
        "response_type",
        "response_mode",
        "client_id",
        "redirect_uri",
        "scope",
        "purpose",
        "prompt",
        "display",
        "max_age",
        "ui_locales",
        "acr_values",
        "login_hint",
        "code_challenge_method",
        "grant_type",
        "client_assertion_type",
        "phoneNumber",
        "publicAddress",
        "publicPort",
        "ipv6Address",
    }
)
# Of these, the number behind an optional ``tel:`` shows its last two digits, however it is written.
NUMBERS = frozenset({"phoneNumber", "login_hint"})
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")  # of a parameter; what is none may be a secret too
DIGITS = re.compile(r"\+?[0-9]{7,}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and its answer. ``status`` is None when the connection was closed with no answer; ``ms`` is time."""

    time: str
    hop: str
    method: str
    path: str
    status: int | None
    ms: float
    client_auth: str | None
    correlator: str | None
    connection: str
    note: str
    query: dict[str, Any]
    body: dict[str, Any]
    headers: list[str]


class Journal:
    """The last requests, oldest first, kept by many threads; clearing it begins a new page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.page = 0
        self._entries: deque[Entry] = deque(maxlen=LIMIT)

    def add(self, entry: Entry, page: int) -> None:
        """Keep ``entry`` of a request that began on ``page``, if that is the present one; the oldest goes."""
        with self._lock:
            if page == self.page:
                self._entries.append(entry)

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries as JSON objects, oldest first."""
        with self._lock:
            return [asdict(entry) for entry in self._entries]

    def clear(self) -> None:
        """Forget all entries, and those of requests that are under way."""
        with self._lock:
            self.page += 1
            self._entries.clear()


def hop_of(path: str) -> str | None:
    """Return the hop that ``path`` belongs to, or None."""
    return HOP_BY_SEGMENT.get(path.rstrip("/").rpartition("/")[2])


def summary(values: object) -> dict[str, Any]:
    """Return ``values`` (a parsed query, form or JSON body) with secrets cut and numbers masked."""
    if not isinstance(values, dict):
        return {}
    return {name if NAME.fullmatch(name) else CUT: _summary_of(name, value) for name, value in values.items()}


def clean(text: str) -> str:
    """Return ``text`` on one line, short, and with numbers masked to their last two digits."""
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return DIGITS.sub(lambda match: masked(match[0]), printable)[:LONGEST]


def masked(number: str) -> str:
    """Return the last two characters of ``number`` behind three dots."""
    return f"•••{number[-2:]}"


def _summary_of(name: str, value: object) -> str | dict[str, Any]:
    if isinstance(value, dict):
        return summary(value)
    if name not in SHOWN:
        return CUT
    text = str(value)
    if name == "redirect_uri":
        text = text.partition("?")[0]
    elif name in NUMBERS:
        kind, colon, number = text.rpartition(":")
        text = kind + colon + masked(number)
    return clean(text)
