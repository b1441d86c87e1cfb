"""Drive the conversations over ``requests``: pooled per process, bounded in time and size, and trusting nobody.

No redirect is followed, no cookie kept, no proxy or password taken from the environment, and nothing is sent twice.
"""

import logging
import os
import re
import threading
import time
from contextlib import contextmanager
from functools import partial

import requests
import urllib3

from . import connections
from .flights import Flight, Flights
from .protocol.exceptions import (
    NumberVerifyError,
    OperatorTimeout,
    OperatorUnavailable,
    ResponseInvalid,
    ResponseTooLarge,
)
from .protocol.messages import Response

logger = logging.getLogger(__name__)

BODY_MAX = 131_072  # bytes
RECEIVED_MAX = 2 * BODY_MAX  # bytes; http.client alone would take 6 MB of headers, and any amount of a chunk
WARMING = "numverify-warm"  # the name of a thread
HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "numverify-django"}


class Deadline:
    """A moment by which all calls that share it have ended."""

    def __init__(self, seconds, clock=time.monotonic):
        self._clock = clock
        self._end = clock() + seconds

    def within(self, seconds):
        """Return the deadline that comes first: this one, or one in ``seconds`` (None: this one)."""
        if seconds is None or self._end - self._clock() <= seconds:
            return self
        return Deadline(seconds, self._clock)

    def remaining(self):
        """Return the seconds left, or raise TimeoutError."""
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class _Bounds:
    """What one exchange may cost: time, and bytes of head, body and framing together."""

    def __init__(self, deadline):
        self.remaining = deadline.remaining
        self._left = RECEIVED_MAX

    def count(self, received):
        self._left -= received
        if self._left < 0:
            raise ResponseTooLarge("head, body and framing together")


def run(conversation, deadline, correlator="", before=None, timings=None):
    """Return what ``conversation`` returns once its requests are answered; raise what it raises.

    ``correlator`` is sent as ``x-correlator`` with every request. ``before`` is called ahead of the first, where there
    is one; a NumberVerifyError of it counts as that request's. What each request took, answered or not, is added to
    ``timings``, a dict of milliseconds by hop. Threads that ask for one public document at once fetch it once.
    """
    proceed, flight = partial(next, conversation), Flight()
    try:
        while True:
            since = time.monotonic()
            request = proceed()
            flight.land()
            try:
                if before is not None:
                    before()
                    before = None
                with _timed(request.hop, {} if timings is None else timings):
                    flight = _flight(request, since, deadline)
                    answer = flight.answer or send(request, deadline, correlator)
                flight.answer = answer if answer.status == 200 else None  # a failure is nobody else's
                proceed = partial(conversation.send, answer)
            except NumberVerifyError as error:
                proceed = partial(conversation.throw, error)
    except StopIteration as finished:
        return finished.value
    finally:
        flight.land()


def _flight(request, since, deadline):
    """Return a Flight for ``request``: of its own, or that of all who want the document ``since`` then."""
    if not request.is_public:
        return Flight()
    try:
        return _flights.board(request.url, since, deadline.within(request.patience).remaining)
    except TimeoutError:
        raise OperatorTimeout(f"{request.hop}: another login was waiting for it as well") from None


@contextmanager
def _timed(hop, timings):
    begun = time.monotonic()
    try:
        yield
    finally:
        timings[hop] = timings.get(hop, 0) + round((time.monotonic() - begun) * 1000)


def warm(urls, seconds):
    """Open a connection to each of ``urls`` where none rests, in the background and within ``seconds``.

    The browser is at the operator meanwhile; its callback finds them open. A failure is left to that to tell.
    """
    for pool in {connections.adapter().pool(url) for url in urls}:
        if not pool.has_connection() and pool.opening.acquire(blocking=False):
            _start(pool, threading.Thread(target=_open, args=(pool, Deadline(seconds)), name=WARMING, daemon=True))


def _start(pool, thread):
    try:
        thread.start()
    except RuntimeError:  # there are as many threads as the system allows
        pool.opening.release()


def _open(pool, deadline):
    connections.exchange_now.set(_Bounds(deadline))
    try:
        pool.open_connection()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        logger.debug("no connection was opened ahead: %s", type(error).__name__)
    finally:
        pool.opening.release()


def send(request, deadline, correlator=""):
    """Return the operator's Response, whatever its status, or raise a NumberVerifyError."""
    headers = {**HEADERS, **request.headers} | ({"x-correlator": correlator} if correlator else {})
    deadline = deadline.within(request.patience)
    token = connections.exchange_now.set(_Bounds(deadline))
    try:
        response = _exchange(request, headers, deadline)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _translated(error, request, deadline) from None  # the cause may quote the URL, the headers or the body
    finally:
        connections.exchange_now.reset(token)
    logger.debug("operator answered %s with %d", request.hop, response.status)
    return response


def _exchange(request, headers, deadline):
    prepared = requests.Request(request.method, request.url, headers=headers, data=request.body).prepare()
    raw = connections.adapter().send(prepared, stream=True, timeout=deadline.remaining()).raw
    try:
        return Response(raw.status, {name.lower(): value for name, value in raw.headers.items()}, _body(raw))
    finally:
        raw.close()  # a connection whose answer was read to its end is back in the pool and stays open


def _body(raw):
    """Return the body, or nothing where it is not fit to be read and the status says all: redirect, 429, 5xx."""
    try:
        return _read(raw)
    except (ResponseInvalid, ResponseTooLarge):
        if raw.status == 429 or raw.status >= 500 or 300 <= raw.status < 400:
            return b""
        raise


def _read(raw):
    """Return the whole body, or raise: nothing is decompressed, nothing larger than BODY_MAX is read."""
    if raw.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ResponseInvalid("the body is compressed, which was not asked for")
    body = bytearray()
    while chunk := raw.read(BODY_MAX + 1 - len(body), decode_content=False):
        body += chunk
        if len(body) > BODY_MAX:
            raise ResponseTooLarge
    return bytes(body)


def _translated(error, request, deadline):
    """Return our exception for a failed exchange: it tells the kind of the error, whose text may quote anything."""
    host = re.split("[/?#]", request.url.partition("//")[2], maxsplit=1)[0]
    where = f"{request.hop} at {host}: {type(error).__name__}"
    try:
        deadline.remaining()
    except TimeoutError:
        return OperatorTimeout(where)
    return OperatorUnavailable(where)


_flights = Flights()


def _forget():
    global _flights  # noqa: PLW0603 - a fork starts anew: nobody in it flies what its parent has under way
    _flights = Flights()


os.register_at_fork(after_in_child=_forget)
