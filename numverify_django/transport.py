"""Drive the conversations over ``requests``: pooled per process, bounded in time and size, and trusting nobody.

No redirect is followed, no cookie kept, no proxy or password taken from the environment, and nothing is sent twice.
"""

import contextvars
import http.client
import logging
import os
import re
import socket
import ssl
import threading
import time
from functools import partial

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssltransport import SSLTransport

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
POOL_SIZE = 64  # connections to one operator; a process should have no more threads
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?\r?\n")  # RFC 9112 7.1
LINE_MAX = 8_192  # bytes of one line between chunks
HEAD_MAX = 8_192  # bytes of an answer's head; the standard library may take time by the square of its length
IDLE_MAX = 15  # seconds; below the keep-alive of common gateways, so that no POST meets a closing connection
HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "numverify-django"}

_exchange_now = contextvars.ContextVar("numverify_exchange")


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
    ``timings``, a dict of milliseconds by hop.
    """
    timings = {} if timings is None else timings
    proceed = partial(next, conversation)
    while True:
        try:
            request = proceed()
        except StopIteration as finished:
            return finished.value
        try:
            if before is not None:
                before()
                before = None
            proceed = partial(conversation.send, _timed(request, deadline, correlator, timings))
        except NumberVerifyError as error:
            proceed = partial(conversation.throw, error)


def _timed(request, deadline, correlator, timings):
    begun = time.monotonic()
    try:
        return send(request, deadline, correlator)
    finally:
        timings[request.hop] = timings.get(request.hop, 0) + round((time.monotonic() - begun) * 1000)


def send(request, deadline, correlator=""):
    """Return the operator's Response, whatever its status, or raise a NumberVerifyError."""
    headers = {**HEADERS, **request.headers} | ({"x-correlator": correlator} if correlator else {})
    deadline = deadline.within(request.patience)
    token = _exchange_now.set(_Bounds(deadline))
    try:
        response = _exchange(request, headers, deadline)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _translated(error, request, deadline) from None  # the cause may quote the URL, the headers or the body
    finally:
        _exchange_now.reset(token)
    logger.debug("operator answered %s with %d", request.hop, response.status)
    return response


def _exchange(request, headers, deadline):
    prepared = requests.Request(request.method, request.url, headers=headers, data=request.body).prepare()
    raw = _adapter().send(prepared, stream=True, timeout=deadline.remaining()).raw
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


class _Socket(socket.socket):
    """A socket that never waits beyond the deadline of the call it serves, nor takes more than that may receive."""

    def recv(self, *args, **kwargs):
        bounds = self._bounded()
        received = super().recv(*args, **kwargs)
        bounds.count(len(received))
        return received

    def recv_into(self, *args, **kwargs):
        bounds = self._bounded()
        received = super().recv_into(*args, **kwargs)
        bounds.count(received)
        return received

    def sendall(self, *args, **kwargs):
        self._bounded()
        return super().sendall(*args, **kwargs)

    def _bounded(self):
        bounds = _exchange_now.get()
        self.settimeout(bounds.remaining())
        return bounds


class _TLS(SSLTransport):
    """TLS over such a socket, which OpenSSL does not read itself.

    It would not come back while records come that bring no data, such as KeyUpdates, and nobody would count them.
    """

    def pending(self):
        return self.sslobj.pending() + self.incoming.pending


class _TLSContext(ssl.SSLContext):
    def wrap_socket(self, sock, server_hostname=None):
        return _TLS(sock, self, server_hostname)


class _Head:
    """The lines of an answer before its body, HEAD_MAX bytes in all."""

    def __init__(self, lines):
        self.close = lines.close
        self._lines, self._left = lines, HEAD_MAX

    def readline(self, most):
        line = self._lines.readline(most)
        self._left -= len(line)
        if self._left < 0:
            raise urllib3.exceptions.ProtocolError("a head that is larger than any honest one")
        return line


class _StrictResponse(http.client.HTTPResponse):
    """An answer that is whole, or none.

    Of a broken head urllib3 would log the text; of chunks http.client takes a negative size, and an end that was cut.
    """

    def begin(self):
        whole = self.fp
        self.fp = _Head(whole)
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

    def _read_next_chunk_size(self):
        found = CHUNK_SIZE.fullmatch(self.fp.readline(LINE_MAX))
        if found is None:
            raise ValueError("a chunk without its size")
        return int(found[1], 16)

    def _read_and_discard_trailer(self):
        while (line := self.fp.readline(LINE_MAX)) not in (b"\r\n", b"\n"):
            if not line:
                raise ValueError("chunks without their end")


class _Kept:
    """A connection that rests IDLE_MAX at most and opens within the deadline, but for resolving the operator's name."""

    response_class = _StrictResponse
    used_at = 0.0

    def _new_conn(self):
        failure = OSError("the name has no address")
        found = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
        for left, (family, kind, proto, _, address) in zip(range(len(found), 0, -1), found, strict=True):
            try:
                return _connected(_Socket(family, kind, proto), address, _exchange_now.get().remaining() / left)
            except OSError as error:
                failure = error
        # As itself: urllib3 forgives a reset while it sends, and would go on without a socket.
        raise urllib3.exceptions.NewConnectionError(self, type(failure).__name__)

    def request(self, *args, **kwargs):
        self.used_at = time.monotonic()
        return super().request(*args, **kwargs)

    @property
    def is_connected(self):
        if getattr(self.sock, "pending", int)():
            return False  # decrypted already: more than the answer came, and it would pass for the next one
        return super().is_connected and time.monotonic() - self.used_at < IDLE_MAX


def _connected(opened, address, seconds):
    """Return the socket ``opened``, connected within ``seconds``; its address may be one of several to try."""
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.settimeout(seconds)
        opened.connect(address)
        opened.settimeout(_exchange_now.get().remaining())  # what the TLS handshake may take in all
    except OSError:
        opened.close()
        raise
    return opened


class _Connection(_Kept, HTTPConnection):
    pass


class _TLSConnection(_Kept, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """The transport of requests with one TLS context of ours; certificates are always verified."""

    def init_poolmanager(self, connections, maxsize, block=False, **kwargs):
        super().init_poolmanager(connections, maxsize, block=block, ssl_context=_tls_context(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def build_connection_pool_key_attributes(self, request, verify, cert=None):
        # requests would load the CA bundle again for every connection; ours is in the context
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}

    def cert_verify(self, conn, url, verify, cert):
        pass  # likewise


def _tls_context():
    context = _TLSContext(ssl.PROTOCOL_TLS_CLIENT)  # which verifies certificates and their names
    context.verify_flags |= ssl.create_default_context().verify_flags  # Python 3.13 is stricter by default
    context.load_verify_locations(requests.certs.where())
    context.load_default_certs()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _Process:
    """The adapter of this process, made at its first use and never shared with a fork."""

    def __init__(self):
        self._lock = threading.Lock()
        self._adapter = None

    def adapter(self):
        with self._lock:
            self._adapter = self._adapter or _Adapter(pool_connections=10, pool_maxsize=POOL_SIZE)
            return self._adapter


_process = _Process()


def _adapter():
    return _process.adapter()


def _forget():
    global _process  # noqa: PLW0603 - a fork starts anew: sockets of the parent are not ours, nor is its lock's state
    _process = _Process()


os.register_at_fork(after_in_child=_forget)
