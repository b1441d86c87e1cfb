"""What a verification asks of an operator, for whatever sends it: nothing here does any I/O.

A coroutine of ``flow`` awaits Calls. ``transport.run`` answers them in the thread that it is called in, and ``aio.run``
in the event loop, with the same bounds; what the coroutine does between two of them is done in a thread either way.
"""

import re
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

from .flights import Flight
from .protocol.exceptions import NumberVerifyError, OperatorTimeout, OperatorUnavailable
from .protocol.messages import Conversation, Request, Response

BODY_MAX = 131_072  # bytes
RECEIVED_MAX = 2 * BODY_MAX  # bytes; http.client alone would take 6 MB of headers, and any amount of a chunk
HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "numverify-django"}

T = TypeVar("T")


class Deadline:
    """A moment by which all calls that share it have ended."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def within(self, seconds: float | None) -> "Deadline":
        """Return the deadline that comes first: this one, or one in ``seconds`` (None: this one)."""
        if seconds is None or self._end - self._clock() <= seconds:
            return self
        return Deadline(seconds, self._clock)

    def remaining(self) -> float:
        """Return the seconds left, or raise TimeoutError."""
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class Call:
    """A Request on its way: awaiting it gives the operator's Response, or raises a NumberVerifyError."""

    def __init__(self, request: Request, deadline: Deadline, correlator: str = "", since: float = 0.0) -> None:
        self.request = request
        self.bound = deadline.within(request.patience)
        self.headers = {**HEADERS, **request.headers} | ({"x-correlator": correlator} if correlator else {})
        self.since = since  # when its answer began to be looked for (seconds of time.monotonic)
        self.flight = Flight()

    def __await__(self) -> Generator["Call", Response, Response]:
        return (yield self)

    def remaining(self) -> float:
        """Return the seconds left to wait for another's answer, or raise OperatorTimeout."""
        try:
            return self.bound.remaining()
        except TimeoutError:
            raise OperatorTimeout(f"{self.request.hop}: another login was waiting for it as well") from None

    def failed(self, error: Exception) -> NumberVerifyError:
        """Return our exception for a failed exchange: it tells the kind of ``error``, whose text may quote anything."""
        host = re.split("[/?#]", self.request.url.partition("//")[2], maxsplit=1)[0]
        where = f"{self.request.hop} at {host}: {type(error).__name__}"
        try:
            self.bound.remaining()
        except TimeoutError:
            return OperatorTimeout(where)
        return OperatorUnavailable(where)


class Ahead(NamedTuple):
    """Connections that a later request will need: awaiting it has them opened within ``seconds``, in the background."""

    urls: list[str]
    seconds: float

    def __await__(self) -> Generator["Ahead", None, None]:
        return (yield self)


Steps = Coroutine[Call | Ahead, Response | None, T]  # a coroutine whose Calls are to be answered


async def converse(
    conversation: Conversation[T],
    deadline: Deadline,
    correlator: str = "",
    before: Callable[[], object] | None = None,
    timings: dict[str, int] | None = None,
) -> T:
    """Return what ``conversation`` returns once its requests are answered; raise what it raises.

    ``correlator`` is sent as ``x-correlator`` with every request. ``before`` is called ahead of the first, where there
    is one; a NumberVerifyError of it counts as that request's. What each request took, answered or not, is added to
    ``timings``, a dict of milliseconds by hop.
    """
    proceed: Callable[[], Request] = partial(next, conversation)
    call, timings = None, {} if timings is None else timings
    try:
        while True:
            since = time.monotonic()
            request = proceed()
            _land(call)  # its answer has been taken in
            try:
                if before is not None:
                    before()
                    before = None
                call = Call(request, deadline, correlator, since)
                with _timed(request.hop, timings):
                    proceed = partial(conversation.send, await call)
            except NumberVerifyError as error:
                proceed = partial(conversation.throw, error)
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        _land(call)


def _land(call: Call | None) -> None:
    if call is not None:
        call.flight.land()


@contextmanager
def _timed(hop: str, timings: dict[str, int]) -> Iterator[None]:
    begun = time.monotonic()
    try:
        yield
    finally:
        timings[hop] = timings.get(hop, 0) + round((time.monotonic() - begun) * 1000)


def says_all(status: int) -> bool:
    """Tell whether a status is enough to know what became of a call: a redirect, 429, 5xx."""
    return status == 429 or status >= 500 or 300 <= status < 400
