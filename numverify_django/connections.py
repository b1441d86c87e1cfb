"""Connections to operators: pooled per process, with one TLS context, and none that waits or takes without bounds.

What an exchange may cost is ``exchange_now`` of its thread; a connection rests IDLE_MAX at most between two.
"""

import contextvars
import http.client
import io
import math
import os
import re
import socket
import ssl
import threading
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssltransport import SSLTransport

HOSTS = 100  # of operators that a process keeps connections to
POOL_SIZE = 64  # connections to one operator; a process should have no more threads
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?\r?\n")  # RFC 9112 7.1
LINE_MAX = 8_192  # bytes of one line between chunks
HEAD_MAX = 8_192  # bytes of an answer's head; the standard library may take time by the square of its length
IDLE_MAX = 15  # seconds; below the keep-alive of common gateways, so that no POST meets a closing connection
KEEP_ALIVE = re.compile(r"(?:.*[\s,])?timeout=([0-9]{1,9})\b.*", re.IGNORECASE)  # what an operator tells of its own
TICKETS_MAX = 16_384  # bytes
MARGIN = 1  # seconds before it, in which the operator may be closing already


class Bounds(Protocol):
    """What an exchange may cost: seconds, and bytes received."""

    def remaining(self) -> float:
        """Return the seconds left, or raise TimeoutError."""

    def count(self, received: int) -> None:
        """Add bytes, or raise ResponseTooLarge."""


exchange_now: contextvars.ContextVar[Bounds] = contextvars.ContextVar("numverify_exchange")


def kept_for(header: str) -> int | None:
    """Return for how long (seconds) a Keep-Alive header says that a connection is kept, or None."""
    told = KEEP_ALIVE.fullmatch(header)
    return told and int(told[1])


def may_be_used(used_at: float, kept_for: float) -> bool:
    """Tell whether a connection that rests since ``used_at`` (seconds of time.monotonic) is still to be trusted."""
    return time.monotonic() - used_at < min(IDLE_MAX, kept_for - MARGIN)


class _Socket(socket.socket):
    """A socket that never waits beyond the deadline of the call it serves, nor takes more than that may receive."""

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        bounds = self._bounded()
        received = super().recv(*args, **kwargs)
        bounds.count(len(received))
        return received

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        bounds = self._bounded()
        received = super().recv_into(*args, **kwargs)
        bounds.count(received)
        return received

    def sendall(self, data: Any, *args: Any) -> None:
        if data:  # TLS asks after each read whether there is something to say
            self._bounded()
            super().sendall(data, *args)

    def _bounded(self) -> Bounds:
        bounds = exchange_now.get()
        self.settimeout(bounds.remaining())
        return bounds


class _TLS(SSLTransport):
    """TLS over such a socket, which OpenSSL does not read itself.

    It would not come back while records come that bring no data, such as KeyUpdates, and nobody would count them.
    """

    def pending(self) -> int:
        return self.sslobj.pending() + self.incoming.pending

    def settle(self) -> None:
        """Take in what TLS itself says after its handshake, such as session tickets; raise OSError at anything else."""
        self.socket.setblocking(False)
        try:
            received = socket.socket.recv(self.socket, TICKETS_MAX)
            if received:
                self.incoming.write(received)
                self.sslobj.read(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        raise ConnectionAbortedError("closed, or an answer before its request")


class _TLSContext(ssl.SSLContext):
    def wrap_socket(  # type: ignore[override]  # urllib3 asks no more of it
        self, sock: socket.socket, server_hostname: str | None = None
    ) -> _TLS:
        return _TLS(sock, self, server_hostname)


class _Head:
    """The lines of an answer before its body, HEAD_MAX bytes in all."""

    def __init__(self, lines: io.BufferedReader) -> None:
        self.close = lines.close
        self._lines, self._left = lines, HEAD_MAX

    def readline(self, most: int) -> bytes:
        line = self._lines.readline(most)
        self._left -= len(line)
        if self._left < 0:
            raise urllib3.exceptions.ProtocolError("a head that is larger than any honest one")
        return line


class _StrictResponse(http.client.HTTPResponse):
    """An answer that is whole, or none.

    Of a broken head urllib3 would log the text; of chunks http.client takes a negative size, and an end that was cut.
    """

    def begin(self) -> None:
        whole = self.fp
        self.fp = _Head(whole)  # type: ignore[assignment]  # as much of a file as is asked for
        try:
            super().begin()
        except TypeError:
            # The standard library reads a multipart type's parameters, and stumbles over boundary* beside boundary*0.
            raise urllib3.exceptions.ProtocolError("a header that cannot be read") from None
        finally:
            self.fp = self.fp and whole  # http.client has closed it, and has none, where the status line was none
        if self.status < 200:
            # The real answer is still to come: a kept connection would give it to the next person's request.
            raise urllib3.exceptions.ProtocolError("an interim response where the answer should be")
        if self.msg.defects or self.msg.get_payload():
            raise urllib3.exceptions.ProtocolError("a header that is none")

    def _read_next_chunk_size(self) -> int:
        found = CHUNK_SIZE.fullmatch(self.fp.readline(LINE_MAX))
        if found is None:
            raise ValueError("a chunk without its size")
        return int(found[1], 16)

    def _read_and_discard_trailer(self) -> None:
        while (line := self.fp.readline(LINE_MAX)) not in (b"\r\n", b"\n"):
            if not line:
                raise ValueError("chunks without their end")


class _Kept(HTTPConnection):
    """A connection that rests IDLE_MAX at most and opens within the deadline, but for resolving the operator's name.

    Where the operator told how long it keeps one that rests, be it this or another of its pool, it rests no longer.
    """

    response_class = _StrictResponse
    used_at = 0.0
    pool: "WarmPool"
    is_new = False
    unsent: list[Any] | None = None  # the parts of a request while it is put together

    def _new_conn(self) -> _Socket:
        failure = OSError("the name has no address")
        found = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
        for left, (family, kind, proto, _, address) in zip(range(len(found), 0, -1), found, strict=True):
            try:
                return _connected(_Socket(family, kind, proto), address, exchange_now.get().remaining() / left)
            except OSError as error:
                failure = error
        # As itself: urllib3 forgives a reset while it sends, and would go on without a socket.
        raise urllib3.exceptions.NewConnectionError(self, type(failure).__name__)

    def connect(self) -> None:
        try:
            super().connect()
        except BaseException:
            self.close()  # urllib3 leaves the socket there, without TLS: nobody may take it for a connection
            raise
        self.used_at, self.is_new = time.monotonic(), True

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send head and body at once: one TLS record, and one segment where it fits."""
        self.used_at, self.unsent = time.monotonic(), []
        try:
            super().request(*args, **kwargs)
            whole = b"".join(self.unsent)
        finally:
            self.unsent = None
        self.send(whole)

    def send(self, data: Any) -> None:
        if self.unsent is None:
            super().send(data)
        else:
            self.unsent.append(data)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        self.is_new = False
        response = super().getresponse()
        told = kept_for(response.headers.get("keep-alive", ""))
        if told is not None:
            self.pool.kept_for = told
        return response

    @property
    def is_connected(self) -> bool:
        return may_be_used(self.used_at, self.pool.kept_for) and self._is_silent() and super().is_connected

    def _is_silent(self) -> bool:
        """Tell whether nothing came that would pass for the next answer."""
        try:
            if self.is_new and isinstance(self.sock, _TLS):
                self.sock.settle()
        except OSError:
            return False
        return not getattr(self.sock, "pending", int)()


def _connected(opened: _Socket, address: Any, seconds: float) -> _Socket:
    """Return the socket ``opened``, connected within ``seconds``; its address may be one of several to try."""
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.settimeout(seconds)
        opened.connect(address)
        opened.settimeout(exchange_now.get().remaining())  # what the TLS handshake may take in all
    except OSError:
        opened.close()
        raise
    return opened


class _Connection(_Kept):
    pass


class _TLSConnection(_Kept, HTTPSConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        if not isinstance(self.sock, _TLS):
            raise ssl.SSLError("nothing is sent without TLS")
        return super().request(*args, **kwargs)


class WarmPool(urllib3.HTTPConnectionPool):
    """A pool whose connections may be opened before they are needed, by whoever holds the lock ``opening``."""

    kept_for = math.inf  # seconds that the operator keeps a connection which rests, as it said last

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opening = threading.Lock()

    def _new_conn(self) -> Any:
        made: Any = super()._new_conn()
        made.pool = self
        return made

    def has_connection(self) -> bool:
        """Tell whether a connection rests here that may be used; nobody else has it while it is looked at."""
        resting = self._get_conn()
        try:
            return resting.is_connected
        finally:
            self._put_conn(resting)

    def open_connection(self) -> None:
        """Open one and let it rest here, or raise OSError or urllib3's errors."""
        opened = self._get_conn()
        try:
            if not opened.is_connected:
                opened.connect()
        finally:
            self._put_conn(opened)


class _Pool(WarmPool):
    ConnectionCls = _Connection


class _TLSPool(WarmPool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """The transport of requests with one TLS context of ours; certificates are always verified."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block=block, ssl_context=tls_context(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def build_response(self, req: object, resp: Any) -> Any:
        """Return urllib3's answer as it is: nobody wants its cookies, its encoding or where it came from."""
        return resp

    def pool(self, url: str) -> WarmPool:
        """Return the pool of connections to where ``url`` is."""
        where = urlsplit(url)
        found: WarmPool = self.poolmanager.connection_from_host(where.hostname, where.port, where.scheme)
        return found

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: object, proxies: object = None, cert: object = None
    ) -> WarmPool:
        # requests would load the CA bundle again for every connection; ours is in the context
        return self.pool(request.url)  # type: ignore[arg-type]  # it is prepared

    def cert_verify(self, conn: object, url: str, verify: object, cert: object) -> None:
        pass  # likewise


def tls_context(kind: type[ssl.SSLContext] = _TLSContext) -> ssl.SSLContext:
    """Return a new TLS context (a ``kind`` of ssl.SSLContext) that verifies certificates and their names."""
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    # Python 3.13 is stricter by default; asked of a context that loads no authorities, which takes a fifth of a login
    context.verify_flags |= ssl.create_default_context(capath=os.devnull).verify_flags
    context.load_verify_locations(requests.certs.where())  # type: ignore[attr-defined]  # the stubs lack it
    context.load_default_certs()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def peer(host: str, port: int, seconds: float) -> tuple[str | None, int]:
    """Return the TLS version that ``host`` speaks with us, and its certificate's end (seconds since the epoch).

    Raises OSError, ssl.SSLError among them, where no exchange of ours would be made; the handshake takes ``seconds``.
    """
    try:
        plain = socket.create_connection((host, port), seconds)
    except UnicodeError:  # a part of it is empty or too long
        raise socket.gaierror(f"{host} is no name of a host") from None
    with plain, ssl.SSLContext.wrap_socket(tls_context(), plain, server_hostname=host) as secured:
        certificate: Any = secured.getpeercert()
        return secured.version(), ssl.cert_time_to_seconds(certificate["notAfter"])


class _Process:
    """The adapter of this process, made at its first use and never shared with a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._adapter: _Adapter | None = None

    def adapter(self) -> _Adapter:
        with self._lock:
            self._adapter = self._adapter or _Adapter(pool_connections=HOSTS, pool_maxsize=POOL_SIZE)
            return self._adapter


_process = _Process()


def adapter() -> _Adapter:
    """Return this process's adapter of requests."""
    return _process.adapter()


def _forget() -> None:
    global _process  # noqa: PLW0603 - a fork starts anew: sockets of the parent are not ours, nor is its lock's state
    _process = _Process()


os.register_at_fork(after_in_child=_forget)
