"""Who the operators are: those that stand in the settings, or those that a callable of the site names now.

The callable may read a database. A process asks it again after FRESH seconds, whatever it has to do meanwhile. Each
operator knows of the others what keeps their answers and secrets apart.
"""

import copy
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from . import hooks
from .protocol.exceptions import Misconfigured
from .protocol.profiles import Operator

logger = logging.getLogger(__name__)

FRESH = 10  # seconds in which a process goes on with what it was told
RETRY = 1  # seconds in which it does not ask again what failed


class Wrong(Protocol):
    """What is wrong with the operators: a Problem."""

    @property
    def message(self) -> str: ...
    @property
    def hint(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Operators that stand in the settings."""

    listed: tuple[Operator, ...] = ()

    def __call__(self) -> tuple[Operator, ...]:
        """Return them."""
        return self.listed


class Held(NamedTuple):
    """What the callable returned last, what that means, or what is wrong with it, and when to ask again."""

    raw: object
    operators: tuple[Operator, ...]
    wrong: str
    due: float  # seconds of the clock


class Asked:
    """Operators that ``source`` (a callable) names; ``read`` returns the operators in what it returns, and Problems.

    Thread-safe without a lock: what is held is only ever replaced whole, and threads that find it due may all ask.
    """

    listed: tuple[Operator, ...] = ()

    def __init__(
        self,
        source: Callable[[], Any],
        read: Callable[[Any], tuple[tuple[Operator, ...], Sequence[Wrong]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._read, self._clock = source, read, clock
        self._held: Held | None = None

    def __call__(self) -> tuple[Operator, ...]:
        """Return the operators, or raise Misconfigured with what is wrong: those of before are not trusted instead."""
        held = self._held
        if held is None or self._clock() >= held.due:
            held = self._held = self._ask(held)
        if held.wrong:
            raise Misconfigured(held.wrong)
        return held.operators

    def _ask(self, before: Held | None) -> Held:
        try:
            # a copy: the callable may return the same dict again, changed
            raw = hooks.call("OPERATORS", lambda: copy.deepcopy(self._source()))
        except Misconfigured as error:
            return Held(None, (), str(error), self._clock() + RETRY)
        if before is not None and not before.wrong and raw == before.raw:  # reading a key anew takes milliseconds
            return before._replace(due=self._clock() + FRESH)
        operators, problems = self._read(raw)
        wrong = " ".join(f"{problem.message} {problem.hint}" for problem in problems)
        if wrong:
            logger.error("OPERATORS: %s", wrong)
        return Held(raw, operators, wrong, self._clock() + (RETRY if wrong else FRESH))


def apart(operators: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """Return ``operators``, each knowing where the others are, and whether one of them answers where it does."""
    return tuple(
        replace(
            one,
            rivals=frozenset().union(*(other.places for other in operators)) - one.places,
            shares_callback=any(_meet(one, other) for other in operators if other is not one),
        )
        for one in operators
    )


def _meet(one: Operator, other: Operator) -> bool:
    """Tell whether an answer of either may come where one of the other is taken, in the browser or in an app."""
    if one.app_redirect_uri and one.app_redirect_uri == other.app_redirect_uri:
        return True
    return not any(is_own_callback(operator.redirect_uri, operator.name) for operator in (one, other))


def is_own_callback(redirect_uri: str | None, name: str) -> bool:
    """Tell whether ``redirect_uri`` (text or None) leads to the callback of the operator called ``name`` alone.

    What stands before our path is not looked at: a proxy may put a prefix there.
    """
    return redirect_uri is not None and unquote(urlsplit(redirect_uri).path).endswith(f"/callback/{name}/")
