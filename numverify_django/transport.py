"""Drive the conversations over ``requests``: pooled per process, bounded in time and size, and trusting nobody.

No redirect is followed, no cookie kept, no proxy or password taken from the environment, and nothing is sent twice.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import requests
import urllib3

from . import connections, flights
from .calls import BODY_MAX, RECEIVED_MAX, Ahead, Call, Deadline, Steps, says_all
from .protocol.exceptions import ResponseInvalid, ResponseTooLarge
from .protocol.messages import Response

logger = logging.getLogger(__name__)

WARMING = "numverify-warm"  # the name of a thread

T = TypeVar("T")


class _Bounds:
    """What one exchange may cost: time, and bytes of head, body and framing together."""

    def __init__(self, deadline: Deadline) -> None:
        self.remaining = deadline.remaining
        self._left = RECEIVED_MAX

    def count(self, received: int) -> None:
        self._left -= received
        if self._left < 0:
            raise ResponseTooLarge("head, body and framing together")


def run(steps: Steps[T]) -> T:
    """Return what the coroutine ``steps`` returns once its Calls are answered, in this thread; raise what it raises.

    Threads that ask for one public document at once fetch it once.
    """
    proceed: Callable[[], Call | Ahead] = partial(steps.send, None)
    try:
        while True:
            asked = proceed()
            try:
                proceed = partial(steps.send, answer(asked))
            except Exception as error:  # what nobody expected ends the attempt as well
                proceed = partial(steps.throw, error)
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        steps.close()


def answer(asked: Call | Ahead) -> Response | None:
    """Return the Response to a Call; open connections for an Ahead."""
    if isinstance(asked, Ahead):
        warm(*asked)
        return None
    asked.flight = flight = _boarded(asked)
    if flight.answer is not None:
        return flight.answer
    found = send(asked)
    flight.answer = found if found.status == 200 else None  # a failure is nobody else's
    return found


def _boarded(call: Call) -> flights.Flight:
    flight, is_awaited = flights.look(call)
    while is_awaited:
        flight.wait(call.remaining())
        flight, is_awaited = flights.look(call)
    return flight


def warm(urls: list[str], seconds: float) -> None:
    """Open a connection to each of ``urls`` where none rests, in the background and within ``seconds``.

    The browser is at the operator meanwhile; its callback finds them open. A failure is left to that to tell.
    """
    for pool in {connections.adapter().pool(url) for url in urls}:
        if not pool.has_connection() and pool.opening.acquire(blocking=False):
            _start(pool, threading.Thread(target=_open, args=(pool, Deadline(seconds)), name=WARMING, daemon=True))


def _start(pool: connections.WarmPool, thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError:  # there are as many threads as the system allows
        pool.opening.release()


def _open(pool: connections.WarmPool, deadline: Deadline) -> None:
    connections.exchange_now.set(_Bounds(deadline))
    try:
        pool.open_connection()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        logger.debug("no connection was opened ahead: %s", type(error).__name__)
    finally:
        pool.opening.release()


def send(call: Call) -> Response:
    """Return the operator's Response, whatever its status, or raise a NumberVerifyError."""
    token = connections.exchange_now.set(_Bounds(call.bound))
    try:
        response = _exchange(call)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise call.failed(error) from None  # the cause may quote the URL, the headers or the body
    finally:
        connections.exchange_now.reset(token)
    logger.debug("operator answered %s with %d", call.request.hop, response.status)
    return response


def _exchange(call: Call) -> Response:
    raw: Any = connections.adapter().send(_prepared(call), stream=True, timeout=call.bound.remaining())
    try:
        return Response(raw.status, {name.lower(): value for name, value in raw.headers.items()}, _body(raw))
    finally:
        raw.close()  # a connection whose answer was read to its end is back in the pool and stays open


def _prepared(call: Call) -> requests.PreparedRequest:
    """Return what requests sends: no more of it than a call has, which knows no cookies, parameters or passwords."""
    prepared = requests.PreparedRequest()
    prepared.prepare_method(call.request.method)
    prepared.prepare_url(call.request.url, None)
    prepared.prepare_headers(call.headers)
    prepared.prepare_body(call.request.body, None)
    return prepared


def _body(raw: urllib3.BaseHTTPResponse) -> bytes:
    """Return the body, or nothing where it is not fit to be read and the status says all: redirect, 429, 5xx."""
    try:
        return _read(raw)
    except (ResponseInvalid, ResponseTooLarge):
        if says_all(raw.status):
            return b""
        raise


def _read(raw: urllib3.BaseHTTPResponse) -> bytes:
    """Return the whole body, or raise: nothing is decompressed, nothing larger than BODY_MAX is read."""
    if raw.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ResponseInvalid("the body is compressed, which was not asked for")
    body = bytearray()
    while chunk := raw.read(BODY_MAX + 1 - len(body), decode_content=False):
        body += chunk
        if len(body) > BODY_MAX:
            raise ResponseTooLarge
    return bytes(body)
