"""Answer Calls over ``aiohttp`` (extra ``async``) in an event loop, where no thread waits for a slow operator.

Bounded and trusting nobody as ``transport`` is: no redirect is followed, no cookie kept, no proxy or password taken
from the environment, nothing is decompressed, and nothing is sent twice.
"""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from functools import cache, partial
from typing import Any, TypeVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.tracing import Trace
from asgiref.sync import sync_to_async
from yarl import URL

from . import connections, flights
from .calls import BODY_MAX, RECEIVED_MAX, Ahead, Call, Steps, says_all
from .connections import HEAD_MAX
from .protocol.exceptions import ResponseInvalid, ResponseTooLarge
from .protocol.messages import Response

logger = logging.getLogger(__name__)

NO_TIMEOUT = aiohttp.ClientTimeout()  # but that of the Call
IDLE_MAX = 65_536  # bytes of TLS in a row that bring no data
FRAMING = 4  # bytes of a header beside its name and value

T = TypeVar("T")
_Place = tuple[str | None, int | None]  # a host and a port

# event loop -> its session, and what closes it
_sessions: dict[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, AsyncGenerator[None, None]]] = {}
_warming: set[asyncio.Task[None]] = set()  # tasks, which nothing else keeps until they end


async def run(steps: Steps[T]) -> T:
    """Return what the coroutine ``steps`` returns once its Calls are answered; raise what it raises.

    What it does between two of them is done in a thread. It goes on to its end, within its deadline, where Django
    cancels the view because the browser left: what an operator was asked is recorded.
    """
    task: asyncio.Task[T] = asyncio.ensure_future(_answered(steps))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def _answered(steps: Steps[Any]) -> Any:
    proceed: Callable[[], Call | Ahead] = partial(steps.send, None)
    try:
        while True:
            asked, result = await sync_to_async(_step)(proceed)
            if asked is None:
                return result
            try:
                proceed = partial(steps.send, await answer(asked))
            except Exception as error:  # what nobody expected ends the attempt as well
                proceed = partial(steps.throw, error)
    finally:
        steps.close()


def _step(proceed: Callable[[], Call | Ahead]) -> tuple[Call | Ahead | None, Any]:
    """Return what is asked for next and None; or None and what the coroutine returned."""
    try:
        return proceed(), None
    except StopIteration as finished:
        return None, finished.value


async def answer(asked: Call | Ahead) -> Response | None:
    """Return the Response to a Call; open connections for an Ahead."""
    if isinstance(asked, Ahead):
        warm(*asked)
        return None
    asked.flight = flight = await _boarded(asked)
    if flight.answer is not None:
        return flight.answer
    found = await send(asked)
    flight.answer = found if found.status == 200 else None  # a failure is nobody else's
    return found


async def _boarded(call: Call) -> flights.Flight:
    flight, is_awaited = flights.look(call)
    while is_awaited:
        await flight.awaited(call.remaining())
        flight, is_awaited = flights.look(call)
    return flight


def warm(urls: list[str], seconds: float) -> None:
    """Open a connection to each of ``urls`` where none rests, in the background and within ``seconds``."""
    for place in {URL(url, encoded=True).origin() for url in urls}:
        _warming.add(task := asyncio.ensure_future(_open(place, seconds)))
        task.add_done_callback(_warming.discard)


async def _open(place: URL, seconds: float) -> None:
    session = await _session()
    try:
        async with asyncio.timeout(seconds):
            await session.connector.open_one(place)  # type: ignore[union-attr]  # it is ours
    except (aiohttp.ClientError, OSError, ValueError) as error:
        logger.debug("no connection was opened ahead: %s", type(error).__name__)


async def send(call: Call) -> Response:
    """Return the operator's Response, whatever its status, or raise a NumberVerifyError."""
    session = await _session()
    try:
        async with asyncio.timeout(call.bound.remaining()):
            response = await _exchange(session, call)
    except (aiohttp.ClientError, OSError, ValueError, AssertionError) as error:  # aiohttp's, of a name without address
        raise call.failed(error) from None  # the cause may quote the URL, the headers or the body
    logger.debug("operator answered %s with %d", call.request.hop, response.status)
    return response


async def _exchange(session: aiohttp.ClientSession, call: Call) -> Response:
    request, url = call.request, URL(call.request.url, encoded=True)
    sent: dict[str, Any] = {"headers": call.headers, "data": request.body, "allow_redirects": False}
    async with session.request(request.method, url, **sent) as raw:
        if sum(len(name) + len(value) + FRAMING for name, value in raw.raw_headers) > HEAD_MAX:
            raise aiohttp.ClientPayloadError("a head that is larger than any honest one")
        session.connector.note(url, raw.headers.get("keep-alive", ""))  # type: ignore[union-attr]  # it is ours
        return Response(raw.status, {name.lower(): value for name, value in raw.headers.items()}, await _body(raw))


async def _body(raw: aiohttp.ClientResponse) -> bytes:
    """Return the body, or nothing where it is not fit to be read and the status says all."""
    try:
        return await _read(raw)
    except (ResponseInvalid, ResponseTooLarge):
        if says_all(raw.status):
            raw.close()
            return b""
        raise


async def _read(raw: aiohttp.ClientResponse) -> bytes:
    """Return the whole body, or raise: nothing is decompressed, nothing larger than BODY_MAX is read."""
    codings = raw.headers.getall("content-encoding", ["identity"])
    if [coding.strip().lower() for coding in codings] != ["identity"]:
        raise ResponseInvalid("the body is compressed, which was not asked for")
    body = bytearray()
    async for chunk in raw.content.iter_any():
        body += chunk
        if len(body) > BODY_MAX:
            raise ResponseTooLarge
    return bytes(body)


class _TLSObject(ssl.SSLObject):
    """TLS that counts what it says without bringing data: tickets and KeyUpdates could go on for ever."""

    incoming: ssl.MemoryBIO  # that it reads
    idle = 0  # bytes

    def read(self, len: int = 1024, buffer: Any = None) -> bytes:
        waiting = self.incoming.pending
        try:
            found = super().read(len, buffer)
            self.idle = 0
            return found
        except ssl.SSLWantReadError:
            self.idle += waiting
            if self.idle > IDLE_MAX:
                raise ConnectionAbortedError("more of TLS itself than an answer needs") from None
            raise


class _TLSContext(ssl.SSLContext):
    sslobject_class = _TLSObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> _TLSObject:
        made: _TLSObject = super().wrap_bio(incoming, *args, **kwargs)  # type: ignore[assignment]  # of sslobject_class
        made.incoming = incoming
        return made


class _Protocol(ResponseHandler):
    """One connection: what comes unasked, or is more than an answer may be, ends it."""

    left = 0  # bytes that the answer under way may still have; while it rests, none
    used_at = math.inf  # seconds of time.monotonic since it rests; while it does not, none

    def ask(self) -> None:
        self.left, self.used_at = RECEIVED_MAX, math.inf

    def rest(self) -> None:
        """Rest from now on; what rests already, and was asked nothing, is no younger for that."""
        self.left, self.used_at = 0, min(self.used_at, time.monotonic())

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None and self._payload is not None and not self._payload.is_eof():
            # A body without a length would pass for whole.
            self._end(aiohttp.ClientPayloadError("the connection was cut"))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left < 0:
            self._end(ResponseTooLarge("head, body and framing together, or unasked"))
        else:
            super().data_received(data)

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        message, _ = data
        if 100 < message.code < 200:
            # The real answer is still to come: a kept connection would give it to the next person's request.
            self._end(aiohttp.ClientPayloadError("an interim response where the answer should be"))
        else:
            super().feed_data(data, size)

    def _end(self, error: Exception) -> None:
        payload, self._payload = self._payload, None
        if payload is not None:
            payload.set_exception(error)
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


class _Connector(aiohttp.TCPConnector):
    """The connections of an event loop: one that rested for long is not used again."""

    def __init__(self) -> None:
        kept: dict[str, Any] = {"limit": 0, "keepalive_timeout": connections.IDLE_MAX, "use_dns_cache": False}
        super().__init__(ssl=_tls_context(), **kept)
        self._factory = partial(_Protocol, loop=asyncio.get_running_loop())  # type: ignore[assignment]  # a kind of it
        self._kept_for: dict[_Place, float] = {}  # seconds that a connection is kept there, as was said last
        self._opening: set[URL] = set()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection, protocol = await self._usable(req, traces, timeout)
        protocol.ask()
        return connection

    async def _usable(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> tuple[Connection, _Protocol]:
        """Return a connection that rested, or a new one, and its protocol; once released, it rests."""
        await asyncio.sleep(0)  # that others closed theirs meanwhile is told to our connections first
        kept_for = self._kept_for.get(_place(req.url), math.inf)
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol: _Protocol = connection.protocol  # type: ignore[assignment]  # of _factory
            if connections.may_be_used(protocol.used_at, kept_for):
                connection.add_callback(protocol.rest)
                return connection, protocol
            connection.close()

    async def open_one(self, url: URL) -> None:
        """Open a connection to where ``url`` is, unless one rests there or is being opened."""
        if url in self._opening:
            return
        self._opening.add(url)
        try:
            request = aiohttp.ClientRequest("GET", url, loop=asyncio.get_running_loop(), ssl=True)
            connection, _ = await self._usable(request, [], NO_TIMEOUT)
            connection.release()
        finally:
            self._opening.discard(url)

    def note(self, url: URL, keep_alive: str) -> None:
        """Remember what the header ``keep_alive`` of an answer from ``url`` says, if it says anything."""
        told = connections.kept_for(keep_alive)
        if told is not None:
            self._kept_for[_place(url)] = told


@cache
def _tls_context() -> ssl.SSLContext:
    return connections.tls_context(_TLSContext)


def _place(url: URL) -> _Place:
    return url.host, url.port


async def _session() -> aiohttp.ClientSession:
    """Return the session of this event loop, which is closed when the loop ends."""
    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        session = aiohttp.ClientSession(
            connector=_Connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=NO_TIMEOUT,
            skip_auto_headers=["content-type"],
        )
        session._retry_connection = False  # it would send again what has no body
        _sessions[loop] = session, (keeper := _keep(loop, session))
        await anext(keeper)
    return _sessions[loop][0]


async def _keep(loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Keep ``session`` until ``loop`` shuts its asynchronous generators down."""
    try:
        yield
    finally:
        _sessions.pop(loop, None)
        await session.close()
