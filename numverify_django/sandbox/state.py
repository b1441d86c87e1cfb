"""What the sandbox answers next: the SIM behind the browser, and the fault to come."""

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

HOPS = ("discovery", "jwks", "authorize", "token", "verify", "share")
WIFI, UNSET, CONSENT, UNKNOWN = None, "unset", "consent", "unknown"
E164 = re.compile(r"\+[1-9][0-9]{4,14}")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
ERROR_CODE = re.compile(r"[a-z0-9_]{1,64}")


def _is_number(value: object, low: int, high: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_header(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and value.isascii()


def _is_headers(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        HEADER_NAME.fullmatch(name) and _is_header(text) for name, text in value.items()
    )


# What each key of a fault takes: a test of its value, and the same in words.
FAULT_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "endpoint": (lambda value: value in HOPS, f"one of {', '.join(HOPS)}"),
    "status": (lambda value: isinstance(value, int) and _is_number(value, 200, 599), "an integer from 200 to 599"),
    "body": (lambda value: isinstance(value, str | dict | list), "a string, an object or a list"),
    "content_type": (_is_header, "a media type"),
    "headers": (_is_headers, "an object of header names and texts"),
    "delay": (lambda value: _is_number(value, 0, 600), "seconds, from 0 to 600"),
    "drop": (lambda value: isinstance(value, bool), "true or false"),
    "error": (lambda value: isinstance(value, str) and bool(ERROR_CODE.fullmatch(value)), "an OAuth error code"),
    "times": (lambda value: isinstance(value, int) and _is_number(value, 1, 1_000_000), "a positive integer or null"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer other than the normal one, for the next ``times`` requests to one endpoint (None: until cleared)."""

    endpoint: str
    status: int | None = None
    body: str | dict[str, Any] | list[Any] | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    drop: bool = False
    error: str | None = None
    times: int | None = 1

    @classmethod
    def parse(cls, values: object) -> Self:
        """Return the fault that a JSON object describes, or raise ValueError with what is wrong in it."""
        if not isinstance(values, Mapping) or "endpoint" not in values:
            raise ValueError("fault: null, or an object with an endpoint")
        refuse_unknown(values, FAULT_VALUES, "fault")
        for key, value in values.items():
            accepts, words = FAULT_VALUES[key]
            if not accepts(value) and not (value is None and key != "endpoint"):
                raise ValueError(f"fault.{key}: {words}")
        given = {key: value for key, value in values.items() if value is not None or key == "times"}
        return cls(**given).checked()

    def checked(self) -> Self:
        """Return this fault, or raise ValueError if it would do nothing or something impossible."""
        if self.error is not None and self.endpoint not in ("authorize", "token"):
            raise ValueError("fault.error: only authorize and token answer with an OAuth error")
        useless = (self.body,) if self.error else (self.body, self.status) if self.drop else ()
        if any(value is not None for value in useless):
            raise ValueError("fault.body, fault.status: an error or a dropped connection has none of its own")
        if not (self.replaces or self.delay or self.drop or self.error):
            raise ValueError("fault: give a status, body, delay, drop or error")
        return self

    @property
    def replaces(self) -> bool:
        """Whether the answer itself is given here."""
        return self.error is None and (self.status is not None or self.body is not None)

    @property
    def note(self) -> str:
        """Return what the log says about it."""
        if self.drop:
            return "fault: dropped"
        if self.replaces:
            return f"fault: {self.status or 200}"
        return f"fault: {self.error or 'delay'}"


@dataclass(frozen=True, slots=True)
class State:
    """The SIM in this phone (``+E164``, None for Wi-Fi, "unset", "consent" or "unknown") and the fault to come."""

    sim: str | None = UNSET
    fault: Fault | None = None

    def changed(self, values: Mapping[str, Any]) -> Self:
        """Return the state after a JSON object of changes, or raise ValueError; keys left out stay."""
        changes: dict[str, Any] = {}
        if "sim" in values:
            changes["sim"] = parse_sim(values["sim"])
        if "fault" in values:
            changes["fault"] = None if values["fault"] is None else Fault.parse(values["fault"])
        return replace(self, **changes)


def parse_sim(value: object) -> str | None:
    """Return ``value`` if it names a SIM, or raise ValueError."""
    if value is WIFI or (isinstance(value, str) and (value in (UNSET, CONSENT, UNKNOWN) or E164.fullmatch(value))):
        return value
    raise ValueError('sim: a number like "+34600000001", null, "unset", "consent" or "unknown"')


def refuse_unknown(values: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise ValueError naming the keys of ``values`` that are not among ``known``."""
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")


class Store:
    """The process's state, shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = State()

    @property
    def state(self) -> State:
        """Return the present State."""
        return self._state

    def change(self, values: Mapping[str, Any]) -> None:
        """Apply a JSON object of changes, all or none, or raise ValueError."""
        with self._lock:
            self._state = self._state.changed(values)

    def reset(self) -> None:
        """Go back to the initial state."""
        with self._lock:
            self._state = State()

    def take_fault(self, hop: str) -> Fault | None:
        """Return the fault that this request to ``hop`` meets, or None; the last of its ``times`` clears it."""
        with self._lock:
            fault = self._state.fault
            if fault is None or fault.endpoint != hop:
                return None
            if fault.times is not None:
                left = replace(fault, times=fault.times - 1) if fault.times > 1 else None
                self._state = replace(self._state, fault=left)
            return fault


def as_json(state: State) -> dict[str, Any]:
    """Return the JSON object of a state, in the spelling that ``changed`` takes."""
    return {"sim": state.sim, "fault": asdict(state.fault) if state.fault else None}
