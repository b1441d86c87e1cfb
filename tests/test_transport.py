"""The transport against real sockets: bounded in time and size, trusting nobody, sending nothing twice."""

import datetime
import errno
import gzip
import json
import logging
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from numverify_django import connections, transport
from numverify_django.calls import BODY_MAX, Call, Deadline
from numverify_django.protocol.exceptions import (
    NumberVerifyError,
    OperatorTimeout,
    OperatorUnavailable,
    ResponseInvalid,
    ResponseTooLarge,
)
from numverify_django.protocol.messages import Request

from .carriers import CARRIERS

SHORT = 0.3  # seconds
LONG = 5  # seconds; no test waits for it
SLACK = 0.5  # seconds that a busy machine may add


class Server:
    """A TCP server on a free loopback port: ``serve`` gets each connection in a thread of its own.

    ``requests`` are all that were read with ``read``, ``connections`` all that were accepted.
    """

    def __init__(self, serve, context=None):
        self._serve, self._context = serve, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        self.requests, self.connections, self._threads = [], [], []
        self._start(self._accept)

    def _start(self, work, *args):
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                self._start(self._handle, connection)

    def _handle(self, connection):
        with suppress(OSError), connection:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                self._serve(self, connection)

    def read(self, connection):
        """Return the next request (bytes) on ``connection``, or b"" at its end."""
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = connection.recv(65_536)
            if not chunk:
                return b""
            received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < int((lengths or [b"0"])[0]):
            body += connection.recv(65_536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def stop(self):
        """Close the listener and every connection, and wait for the threads."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=LONG)
        assert not any(thread.is_alive() for thread in self._threads)


@pytest.fixture
def listen():
    """Start a Server for each function given; stop them all at the end."""
    servers = []

    def start(serve, context=None):
        servers.append(Server(serve, context))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def http(body=b"{}", status="200 OK", *headers):
    """Return an HTTP response with its length."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(*answers):
    """Return a serve function that gives each request on a connection the next of ``answers``, the last repeatedly."""

    def serve(server, connection):
        rest = list(answers)
        while server.read(connection):
            connection.sendall(rest.pop(0) if len(rest) > 1 else rest[0])

    return serve


def dripping(data, pause=0.05, times=1):
    """Return a serve function that sends ``data`` byte by byte, ``times`` over."""

    def serve(server, connection):
        server.read(connection)
        for byte in data * times:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return serve


@pytest.fixture(params=CARRIERS, autouse=True)
def carrier(request):
    """What sends: every test here is one of each transport."""
    global carrier_now  # noqa: PLW0603 - for the functions below, whose arguments it would be each time
    carrier_now = CARRIERS[request.param]()
    yield request.param
    carrier_now.stop()


def send(request, deadline, correlator=""):
    """Return the Response to ``request``."""
    return carrier_now.send(request, deadline, correlator)


def run(conversation, deadline, correlator="", **options):
    """Return what ``conversation`` returns."""
    return carrier_now.run(conversation, deadline, correlator, **options)


def get(url, seconds=LONG, correlator="", **headers):
    """Return the Response to a GET."""
    return send(Request("jwks", "GET", url, headers), Deadline(seconds), correlator)


def post(url, body=b"a=b", seconds=LONG):
    """Return the Response to a POST."""
    return send(Request("token", "POST", url, {"content-type": "x/y"}, body), Deadline(seconds))


def ends(error, url, call=get, seconds=SHORT):
    """Return how long (seconds) the call took to end with exactly ``error``."""
    begun = time.monotonic()
    with pytest.raises(error) as raised:
        call(url, seconds=seconds)
    assert raised.type is error
    return time.monotonic() - begun


# What is sent


def test_response_is_passed_on_whatever_its_status(listen):
    server = listen(answering(http(b'{"error": 1}', "418 I'm a teapot", "X-Thing: Value")))
    response = get(server.url)
    assert (response.status, response.body, response.headers["x-thing"]) == (418, b'{"error": 1}', "Value")


def test_request_arrives_as_it_was_built(listen):
    server = listen(answering(http()))
    request = Request("token", "POST", f"{server.url}/a%2Fb/token?x=1", {"authorization": "Basic eA=="}, b"code=a%20b")
    send(request, Deadline(LONG), "correlator-1")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    assert line == "POST /a%2Fb/token?x=1 HTTP/1.1"
    assert body == b"code=a%20b"
    assert {name.lower(): value for name, value in (header.split(": ") for header in headers)} == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "numverify-django",
        "authorization": "Basic eA==",
        "x-correlator": "correlator-1",
        "content-length": "10",
    }


def test_get_has_neither_body_nor_correlator(listen):
    server = listen(answering(http()))
    get(server.url)
    request = server.requests[0].lower()
    assert request.endswith(b"\r\n\r\n")
    assert b"content-" not in request
    assert b"x-correlator" not in request


def test_cookies_are_never_sent_back(listen):
    server = listen(answering(http(b"{}", "200 OK", "Set-Cookie: session=of-another-user; Path=/")))
    get(server.url)
    get(server.url)
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


def test_proxies_of_the_environment_are_ignored(listen, monkeypatch):
    proxy, server = listen(answering(http(b"proxy"))), listen(answering(http(b"operator")))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert get(server.url).body == b"operator"
    assert proxy.connections == []


def test_passwords_of_netrc_are_ignored(listen, monkeypatch, tmp_path):
    server = listen(answering(http()))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    get(server.url)
    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirect_is_not_followed(listen, status):
    evil = listen(answering(http(b'{"access_token": "evil"}')))
    server = listen(answering(http(b"", status, f"Location: {evil.url}/token")))
    assert post(server.url).status == int(status[:3])
    assert evil.connections == []
    assert len(server.requests) == 1


# Kept connections


def test_connection_is_kept_for_the_next_request(listen):
    server = listen(answering(http(b"1"), http(b"2", "404 Not Found"), http(b"3")))
    assert [get(server.url).body, post(server.url).body, get(server.url).body] == [b"1", b"2", b"3"]
    assert len(server.connections) == 1


def test_connection_is_kept_after_a_chunked_answer(listen):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    server = listen(answering(chunked))
    assert [get(server.url).body, get(server.url).body] == [b"abcde", b"abcde"]
    assert len(server.connections) == 1


def test_connection_is_not_kept_where_the_operator_closes_it(listen):
    server = listen(answering(http(b"{}", "200 OK", "Connection: close")))
    get(server.url)
    get(server.url)
    assert len(server.connections) == 2


def test_connection_that_ended_at_rest_is_replaced(listen):
    def serve(server, connection):
        server.read(connection)
        connection.sendall(http(b"once"))

    server = listen(serve)
    assert get(server.url).body == b"once"
    _wait_until(lambda: server.connections[0].fileno() == -1)
    time.sleep(0.05)  # until the end has crossed the loopback
    assert post(server.url).body == b"once"
    assert len(server.connections) == 2


def _wait_until(condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_post_is_not_sent_again_when_a_kept_connection_drops(listen):
    def serve(server, connection):
        server.read(connection)
        connection.sendall(http())
        server.read(connection)  # the second request arrives, and is never answered

    server = listen(serve)
    get(server.url)
    ends(OperatorUnavailable, server.url, post, LONG)
    assert len(server.requests) == 2
    assert len(server.connections) == 1


def test_get_is_not_sent_again_when_a_kept_connection_drops(listen):
    """One of them is paid for: it asks for a number."""

    def serve(server, connection):
        server.read(connection)
        connection.sendall(http())
        server.read(connection)

    server = listen(serve)
    get(server.url)
    ends(OperatorUnavailable, server.url, get, LONG)
    assert len(server.requests) == 2


def test_post_is_not_sent_again_when_a_new_connection_drops(listen):
    server = listen(lambda server, connection: server.read(connection))
    ends(OperatorUnavailable, server.url, post, LONG)
    assert len(server.requests) == 1


def test_late_answer_is_not_given_to_the_next_request(listen):
    def serve(server, connection):
        while request := server.read(connection):
            if b"/slow" in request:
                time.sleep(SHORT + 0.1)
            connection.sendall(http(b"slow" if b"/slow" in request else b"fast"))

    server = listen(serve)
    ends(OperatorTimeout, f"{server.url}/slow")
    assert get(f"{server.url}/fast").body == b"fast"
    assert len(server.connections) == 2


@pytest.mark.parametrize("interim", ["102 Processing", "103 Early Hints", "199 New"])
def test_answer_behind_an_interim_one_is_not_given_to_the_next_request(listen, interim):
    def serve(server, connection):
        while request := server.read(connection):
            if b"/first" in request:
                connection.sendall(f"HTTP/1.1 {interim}\r\n\r\n".encode())
                time.sleep(0.1)
            connection.sendall(http(b"first" if b"/first" in request else b"second"))

    server = listen(serve)
    ends(OperatorUnavailable, f"{server.url}/first", post, LONG)
    assert get(f"{server.url}/second").body == b"second"


def test_continue_is_followed_by_its_answer(listen):
    server = listen(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + http(b"answer")))
    assert post(server.url).body == b"answer"


def test_threads_get_the_answers_to_their_own_requests(listen):
    def serve(server, connection):
        while request := server.read(connection):
            connection.sendall(http(request.split()[1]))

    server, wrong = listen(serve), []

    def work(name):
        for index in range(10):
            path = f"/{name}/{index}"
            answer = get(server.url + path).body.decode()
            if answer != path:
                wrong.append((path, answer))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(server.requests) == 200
    assert len(server.connections) <= 20


FORKING = """
import os, sys
from numverify_django.calls import Deadline
from numverify_django.protocol.messages import Request
from tests.carriers import Threads

def get(name):
    request = Request("jwks", "GET", f"{sys.argv[1]}/{name}")
    assert Threads().send(request, Deadline(5)).body.decode() == f"/{name}"

get("parent-before")
child = os.fork()
if child == 0:
    get("child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
get("parent-after")
"""


def run_script(script, *args, **environment):
    """Return what a script prints in a Python of its own."""
    command = [sys.executable, "-c", script, *args, type(carrier_now).__name__.lower()]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fork_has_connections_of_its_own(listen):
    used = []

    def serve(server, connection):
        while request := server.read(connection):
            path = request.split()[1]
            used.append((path, connection.fileno()))
            connection.sendall(http(path))

    server = listen(serve)
    run_script(FORKING, server.url)
    (before, first), (child, second), (after, third) = used
    assert (before, child, after) == (b"/parent-before", b"/child", b"/parent-after")
    assert first == third != second


# The deadline


def test_deadline_tells_what_is_left():
    now = [100.0]
    deadline = Deadline(5, clock=lambda: now[0])
    now[0] += 2
    assert deadline.remaining() == 3
    now[0] += 3
    with pytest.raises(TimeoutError):
        deadline.remaining()


def test_silent_operator_is_a_timeout(listen):
    def serve(server, connection):
        server.read(connection)
        server.read(connection)  # until the client gives up

    assert SHORT <= ends(OperatorTimeout, listen(serve).url) < SHORT + SLACK


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200, id="headers"),
        pytest.param(b"HTTP/1.1 200 " + b"O" * 200, id="status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40, id="many short headers"),
    ],
)
def test_dripped_head_is_a_timeout(listen, data):
    assert SHORT <= ends(OperatorTimeout, listen(dripping(data)).url) < SHORT + SLACK


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Length: 200\r\n\r\n", id="with a length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nc8\r\n", id="chunked"),
        pytest.param(b"\r\n", id="until the end"),
    ],
)
def test_dripped_body_is_a_timeout(listen, head):
    def serve(server, connection):
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.05)

    assert SHORT <= ends(OperatorTimeout, listen(serve).url) < SHORT + SLACK


def test_dripped_chunk_sizes_are_a_timeout(listen):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def serve(server, connection):
        server.read(connection)
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(b"1\r\nx\r\n")
            time.sleep(0.05)

    assert SHORT <= ends(OperatorTimeout, listen(serve).url) < SHORT + SLACK


@pytest.mark.filterwarnings("ignore:Sending a large body directly")  # for the loop's sake; no request of ours is large
def test_request_that_nobody_reads_is_a_timeout(listen):
    held = threading.Event()
    server = listen(lambda server, connection: held.wait(LONG))
    took = ends(OperatorTimeout, server.url, lambda url, seconds: post(url, b"x" * 20_000_000, seconds))
    held.set()
    assert SHORT <= took < SHORT + SLACK


def test_flood_of_interim_answers_ends(listen):
    def serve(server, connection):
        server.read(connection)
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 100)

    begun = time.monotonic()
    with pytest.raises((ResponseTooLarge, OperatorUnavailable, OperatorTimeout)):  # newer Pythons count them
        get(listen(serve).url, SHORT)
    assert time.monotonic() - begun < SHORT + SLACK


def test_endless_trailer_ends(listen):
    def serve(server, connection):
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        while True:
            connection.sendall(b"X: y\r\n" * 100)

    begun = time.monotonic()
    with pytest.raises((ResponseTooLarge, OperatorUnavailable)):  # the parser of aiohttp counts trailers
        get(listen(serve).url, LONG)
    assert time.monotonic() - begun < LONG


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("size", [b"-1", b"+2", b"0x2", b"1_0", b" 2", b"", b"two", b"2" * 17, b"2 2", b"\xb2"])
def test_chunk_whose_size_is_no_size_is_refused(listen, size):
    with pytest.raises(OperatorUnavailable):
        get(listen(answering(CHUNKED + size + b"\r\n{}\r\n0\r\n\r\n")).url, LONG)


@pytest.mark.parametrize("left", range(1, 9))
def test_chunks_that_are_cut_anywhere_are_refused(listen, left):
    whole = CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"
    assert get(listen(answering(whole)).url, LONG).body == b"{}"

    def serve(server, connection):
        server.read(connection)
        connection.sendall(whole[:-left])

    with pytest.raises(OperatorUnavailable):
        get(listen(serve).url, LONG)


@pytest.mark.parametrize("line", [b"2;name=value", b"2 ; name", b"02", b"2\t"])
def test_chunk_size_may_have_an_extension(listen, line, carrier):
    answer = CHUNKED + line + b"\r\n{}\r\n0\r\nTrailer: ignored\r\n\r\n"
    if carrier == "loop" and b" ;" in line:  # which the parser of aiohttp refuses
        ends(OperatorUnavailable, listen(answering(answer)).url, seconds=LONG)
        return
    assert get(listen(answering(answer)).url, LONG).body == b"{}"


def test_chunk_of_a_negative_size_is_not_read(listen):
    def serve(server, connection):
        server.read(connection)
        connection.sendall(CHUNKED + b"-1\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with pytest.raises(OperatorUnavailable):
        get(listen(serve).url, LONG)


def test_deadline_that_has_passed_sends_nothing(listen):
    server = listen(answering(http()))
    assert ends(OperatorTimeout, server.url, seconds=0) < SLACK
    assert server.connections == []


def test_calls_of_one_conversation_share_the_deadline(listen):
    def serve(server, connection):
        while server.read(connection):
            time.sleep(0.7)
            connection.sendall(http())

    server = listen(serve)

    def conversation():
        yield Request("token", "POST", server.url, body=b"1")
        yield Request("verify", "POST", server.url, body=b"2")

    begun = time.monotonic()
    with pytest.raises(OperatorTimeout):
        run(conversation(), Deadline(1))
    assert 1 <= time.monotonic() - begun < 1 + SLACK
    assert len(server.requests) == 2


def test_conversation_gets_its_answers_and_its_correlator(listen):
    server = listen(answering(http(b"1"), http(b"2")))

    def conversation():
        first = yield Request("token", "POST", server.url, body=b"x")
        second = yield Request("verify", "POST", server.url, body=b"y")
        return first.body + second.body

    assert run(conversation(), Deadline(LONG), "the-correlator") == b"12"
    assert all(b"x-correlator: the-correlator\r\n" in request for request in server.requests)


def test_conversation_may_live_with_an_error(listen):
    server = listen(answering(http(b"fine")))

    def conversation():
        try:
            yield Request("jwks", "GET", _refusing_url())
        except OperatorUnavailable:
            return (yield Request("verify", "POST", server.url, body=b"x")).body

    assert run(conversation(), Deadline(LONG)) == b"fine"


def test_error_of_a_conversation_is_raised():
    def conversation():
        yield Request("jwks", "GET", _refusing_url())

    with pytest.raises(OperatorUnavailable):
        run(conversation(), Deadline(LONG))


def test_what_nobody_expected_is_told_to_who_asked(listen):
    async def steps():
        try:
            await Call(Request("token", "POST", listen(answering(http())).url, body=object()), Deadline(LONG))
        except Exception as error:
            return isinstance(error, NumberVerifyError)

    assert carrier_now.drive(steps()) is False


def test_time_of_each_hop_is_noted_answered_or_not(listen):
    def serve(server, connection):
        while server.read(connection):
            time.sleep(0.05)
            connection.sendall(http())

    server = listen(serve)

    def conversation():
        for hop in ("token", "jwks", "jwks"):
            yield Request(hop, "POST", server.url, body=b"x")
        yield Request("verify", "POST", _refusing_url())

    timings = {"discovery": 7, "token": 100}
    with pytest.raises(OperatorUnavailable):
        run(conversation(), Deadline(LONG), timings=timings)

    assert list(timings) == ["discovery", "token", "jwks", "verify"]
    assert timings["discovery"] == 7  # as it was
    assert timings["token"] >= 150
    assert timings["jwks"] >= 100
    assert all(type(spent) is int and spent < LONG * 1000 for spent in timings.values())


def test_hop_that_was_never_asked_has_no_time():
    def conversation():
        yield Request("verify", "POST", _refusing_url())

    def refuse():
        raise OperatorUnavailable("the circuit is open")

    timings = {}
    with pytest.raises(OperatorUnavailable, match="the circuit is open"):
        run(conversation(), Deadline(LONG), before=refuse, timings=timings)
    assert timings == {}


# What comes back


def _refusing_url():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return f"http://127.0.0.1:{gone.getsockname()[1]}"


def test_refused_connection_is_unavailable():
    assert ends(OperatorUnavailable, _refusing_url(), seconds=LONG) < SLACK


def test_unknown_name_is_unavailable():
    assert ends(OperatorUnavailable, "http://no-such-host.invalid/", seconds=LONG) < LONG


@pytest.mark.parametrize("url", ["http://", "nonsense", "file:///etc/passwd", "http://a b/", "http://[::1", "ftp://x/"])
def test_url_that_cannot_be_asked_is_unavailable(url):
    ends(OperatorUnavailable, url, seconds=LONG)


def test_largest_body_is_accepted(listen):
    server = listen(answering(http(b"x" * BODY_MAX)))
    assert get(server.url).body == b"x" * BODY_MAX


def test_body_over_the_cap_is_refused(listen):
    ends(ResponseTooLarge, listen(answering(http(b"x" * (BODY_MAX + 1)))).url, seconds=LONG)


def test_huge_declared_body_is_refused_without_reading_it(listen):
    sent = []

    def serve(server, connection):
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            sent.append(connection.send(b"x" * 65_536))

    ends(ResponseTooLarge, listen(serve).url, seconds=LONG)
    assert sum(sent) < 20 * 1024 * 1024


@pytest.mark.parametrize("head", [b"Transfer-Encoding: chunked\r\n\r\n", b"\r\n"], ids=["chunked", "until the end"])
def test_endless_body_is_refused(listen, head):
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n" if b"chunked" in head else b"x" * 65_536

    def serve(server, connection):
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
        while True:
            connection.sendall(piece)

    assert ends(ResponseTooLarge, listen(serve).url, seconds=LONG) < LONG


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "gzip, gzip", "br", "zstd", "deflate", "identity, gzip", "x-new"])
def test_compressed_body_is_refused(listen, coding):
    body = gzip.compress(b"x" * 1000)
    ends(ResponseInvalid, listen(answering(http(body, "200 OK", f"Content-Encoding: {coding}"))).url, seconds=LONG)


def test_second_content_encoding_is_not_overlooked(listen):
    headers = ("Content-Encoding: identity", "Content-Encoding: gzip")
    ends(ResponseInvalid, listen(answering(http(b"{}", "200 OK", *headers))).url, seconds=LONG)


def test_compression_bomb_is_never_inflated(listen):
    bomb = gzip.compress(b"\0" * 200_000_000)[: BODY_MAX - 1]
    begun = time.monotonic()
    ends(ResponseInvalid, listen(answering(http(bomb, "200 OK", "Content-Encoding: gzip"))).url, seconds=LONG)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("status", ["302 Found", "429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize("body", [gzip.compress(b"x"), b"x" * (BODY_MAX + 1)], ids=["compressed", "too large"])
def test_body_that_is_not_fit_to_be_read_does_not_hide_the_status(listen, status, body):
    headers = ("Content-Encoding: gzip",) if body[:1] != b"x" else ()
    response = get(listen(answering(http(body, status, *headers))).url)
    assert (response.status, response.body) == (int(status[:3]), b"")


def test_identity_encoding_is_accepted(listen):
    assert get(listen(answering(http(b"{}", "200 OK", "Content-Encoding: identity"))).url).body == b"{}"


def test_compression_bomb_without_a_label_stays_as_it_is(listen):
    body = gzip.compress(b"x" * 100_000)
    assert get(listen(answering(http(body))).url).body == body


def sending(data):
    """Return a serve function that answers with ``data`` and closes."""

    def serve(server, connection):
        server.read(connection)
        connection.sendall(data)

    return serve


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"garbage\r\n\r\n", id="garbage status line"),
        pytest.param(b"HTTP/1.1\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", id="status in letters"),
        pytest.param(b"HTTP/1.1 99 Low\r\n\r\n", id="status too low"),
        pytest.param(b'{"devicePhoneNumberVerified": true}', id="HTTP/0.9"),
        pytest.param(b"SSH-2.0-OpenSSH_9.0\r\n", id="another protocol"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x16", id="TLS alert"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", id="200 headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", id="header line of 100 kB"),
        pytest.param(b"HTTP/1.1 200 " + b"y" * 100_000 + b"\r\n\r\n", id="status line of 100 kB"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", id="truncated body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{}", id="truncated chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", id="no last chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}", id="chunk size in letters"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\n{}", id="two different lengths"
        ),
    ],
)
def test_broken_answer_is_unavailable(listen, data):
    ends(OperatorUnavailable, listen(sending(data)).url, post, LONG)


@pytest.mark.parametrize(
    "after",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n{}", b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"dev'],
)
def test_reset_connection_is_unavailable(listen, after):
    def serve(server, connection):
        server.read(connection)
        connection.sendall(after)
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    server = listen(serve)
    ends(OperatorUnavailable, server.url, post, LONG)
    assert len(server.requests) == 1


@pytest.mark.parametrize("lines", [1, 9])
def test_head_of_more_than_eight_kibibytes_is_refused(listen, lines):
    padding = [f"X-Padding-{number}: {'x' * (9_000 // lines)}" for number in range(lines)]
    ends(OperatorUnavailable, listen(answering(http(b"{}", "200 OK", *padding))).url, seconds=LONG)
    assert get(listen(answering(http(b"{}", "200 OK", f"X-Padding: {'x' * 7_000}"))).url).body == b"{}"


def test_one_of_two_equal_headers_is_kept(listen):
    response = get(listen(answering(http(b"{}", "200 OK", "X-Twice: a", "X-Twice: a"))).url)
    assert response.headers["x-twice"] == "a"


def test_operator_is_asked_again_after_every_fault(listen):
    faulty = listen(sending(b"garbage\r\n\r\n"))
    server = listen(answering(http(b"fine")))
    for _ in range(3):
        ends(OperatorUnavailable, faulty.url, seconds=LONG)
        assert get(server.url).body == b"fine"


@pytest.mark.parametrize("rest", ["?msisdn=S3CRET", "/path?msisdn=S3CRET", "#S3CRET"])
def test_fault_tells_of_an_address_the_host_alone(listen, rest):
    url = listen(lambda server, connection: None).url
    with pytest.raises(OperatorUnavailable) as raised:
        get(url + rest)
    assert re.fullmatch(f"jwks at {url.partition('//')[2]}: [A-Za-z]+", str(raised.value))


@pytest.mark.parametrize("fault", [sending(b"garbage S3CRET\r\n\r\n"), sending(b"HTTP/1.1 200 OK\r\nS3CRET\r\n\r\n{}")])
def test_fault_is_logged_without_what_was_sent_or_received(listen, caplog, fault):
    caplog.set_level(logging.DEBUG)
    request = Request("token", "POST", listen(fault).url, {"authorization": "Bearer S3CRET"}, b"code=S3CRET")
    with pytest.raises(OperatorUnavailable, match=r"token at 127\.0\.0\.1:[0-9]+: [A-Za-z]+$") as raised:
        send(request, Deadline(LONG), "correlator")
    assert "S3CRET" not in caplog.text + str(raised.value)


def test_error_carries_nothing_of_the_request(listen):
    request = Request("token", "POST", listen(sending(b"")).url + "/S3CRET", {"authorization": "S3CRET"}, b"S3CRET")
    with pytest.raises(OperatorUnavailable) as raised:
        send(request, Deadline(LONG))
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ is True
    assert "S3CRET" not in f"{raised.value} {raised.value!r}"


# TLS


def certificate(names, days=1):
    """Return a certificate of its own making (PEM), with its key, that is valid for ``days`` around now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return built.public_bytes(serialization.Encoding.PEM) + private


LOOPBACK = [x509.IPAddress(__import__("ipaddress").ip_address("127.0.0.1"))]


@pytest.fixture
def tls(tmp_path):
    """Return a server's TLS context and the file with its certificate."""

    def make(names=LOOPBACK, days=1):
        file = tmp_path / "certificate.pem"
        file.write_bytes(certificate(names, days))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context, str(file)

    return make


ASKING = """
import json, sys, time
from numverify_django.calls import Deadline
from numverify_django.protocol.exceptions import NumberVerifyError
from numverify_django.protocol.messages import Request
from tests.carriers import CARRIERS

carrier = CARRIERS[sys.argv[-1]]()
for _ in range(int(sys.argv[3])):
    begun = time.monotonic()
    try:
        said = carrier.send(Request("jwks", "GET", sys.argv[1]), Deadline(float(sys.argv[2]))).body.decode()
    except NumberVerifyError as error:
        said = error.code
    print(json.dumps([said, time.monotonic() - begun]))
carrier.stop()
"""


def ask_trusting(file, url, seconds=LONG, times=1):
    """Return what a process that trusts the certificate in ``file`` is told, and how long (seconds) each took."""
    # Both, so that the certificate is the only one trusted whatever the machine has.
    printed = run_script(ASKING, url, str(seconds), str(times), SSL_CERT_FILE=file, SSL_CERT_DIR="/nonexistent")
    return [json.loads(line) for line in printed.splitlines()]


def test_tls_connection_is_kept(listen, tls):
    context, file = tls()
    server = listen(answering(http(b"1"), http(b"2"), http(b"3")), context)
    assert [said for said, _ in ask_trusting(file, server.url, times=3)] == ["1", "2", "3"]
    assert len(server.connections) == 1


def test_surplus_behind_an_answer_is_not_the_next_answer(listen, tls, carrier):
    def serve(server, connection):
        server.read(connection)
        first = http(b"1")
        connection.sendall(first + b"#" * (8192 - len(first)) + http(b"evil"))  # one record, more than one read takes
        if server.read(connection):
            connection.sendall(http(b"2"))

    context, file = tls()
    said = [said for said, _ in ask_trusting(file, listen(serve, context).url, times=2)]
    answers = {"threads": "1", "loop": "operator_unavailable"}  # aiohttp refuses the answer before it, too
    assert said == [answers[carrier]] * 2  # each on a connection of its own


def test_unknown_certificate_authority_is_refused(listen, tls):
    server = listen(answering(http(b"evil")), tls()[0])
    ends(OperatorUnavailable, server.url, post, LONG)
    assert server.requests == []


@pytest.mark.parametrize(
    ("names", "days"),
    [
        pytest.param([x509.DNSName("operator.example")], 1, id="wrong host"),
        pytest.param([x509.DNSName("127.0.0.1")], 1, id="address as a name"),
        pytest.param(LOOPBACK, -1, id="expired"),
    ],
)
def test_certificate_that_does_not_vouch_for_the_host_is_refused(listen, tls, names, days):
    context, file = tls(names, days)
    server = listen(answering(http(b"evil")), context)
    assert [said for said, _ in ask_trusting(file, server.url)] == ["operator_unavailable"]
    assert server.requests == []


def test_environment_of_requests_trusts_nobody(listen, tls, monkeypatch):
    context, file = tls()
    server = listen(answering(http(b"evil")), context)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, file)
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    ends(OperatorUnavailable, server.url, post, LONG)
    assert server.requests == []


def test_plain_answer_to_a_tls_client_is_unavailable(listen):
    def serve(server, connection):
        connection.recv(4096)
        connection.sendall(http())

    ends(OperatorUnavailable, listen(serve).url.replace("http:", "https:"), seconds=LONG)


def test_handshake_that_never_ends_is_a_timeout(listen):
    server = listen(lambda server, connection: server.read(connection))
    assert SHORT <= ends(OperatorTimeout, server.url.replace("http:", "https:")) < SHORT + SLACK


def test_dripped_handshake_is_a_timeout(listen):
    def serve(server, connection):
        connection.recv(4096)
        for byte in b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\x00" * 200:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    assert SHORT <= ends(OperatorTimeout, listen(serve).url.replace("http:", "https:")) < SHORT + SLACK


def test_handshake_that_is_cut_is_unavailable(listen):
    def serve(server, connection):
        connection.recv(4096)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    ends(OperatorUnavailable, listen(serve).url.replace("http:", "https:"), seconds=LONG)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"], ids=["headers", "body"]
)
def test_dripped_answer_over_tls_is_a_timeout(listen, tls, head):
    def serve(server, connection):
        server.read(connection)
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    context, file = tls()
    ((said, took),) = ask_trusting(file, listen(serve, context).url, SHORT)
    assert said == "operator_timeout"
    assert SHORT <= took < SHORT + SLACK


@pytest.mark.parametrize(("tickets", "verdict"), [(2, "{}"), (3000, "too many")])
def test_records_of_tls_that_bring_no_data_are_counted(listen, tls, tickets, verdict, carrier):
    if verdict != "{}":
        verdict = {"threads": "response_too_large", "loop": "operator_unavailable"}[carrier]
    context, file = tls()
    context.num_tickets = tickets  # each some 200 bytes, after the handshake and ahead of the answer
    assert [said for said, _ in ask_trusting(file, listen(answering(http(b"{}")), context).url)] == [verdict]


def test_truncated_tls_answer_is_unavailable(listen, tls):
    context, file = tls()
    server = listen(sending(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}"), context)
    assert [said for said, _ in ask_trusting(file, server.url)] == ["operator_unavailable"]


# Addresses


def resolving(monkeypatch, *addresses):
    """Make every name resolve to ``addresses``, which are (family, socket address)."""
    found = [(family, socket.SOCK_STREAM, 0, "", address) for family, address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **keys: found)


def test_address_of_a_family_that_this_machine_lacks_is_passed_over(listen, monkeypatch, carrier):
    server = listen(answering(http(b"fine")))
    lacking = (socket.AF_IPX, ("::1", 1)) if carrier == "threads" else (socket.AF_INET6, ("::1", 1, 0, 0))
    resolving(monkeypatch, lacking, (socket.AF_INET, ("127.0.0.1", server.port)))
    assert get("http://operator.test").body == b"fine"


def test_address_that_swallows_packets_leaves_time_for_the_next(listen, monkeypatch, carrier):
    server = listen(answering(http(b"fine")))
    with socket.create_server(("127.0.0.2", 0), backlog=0) as hole:
        waiting = [socket.socket() for _ in range(4)]  # they fill the backlog: the kernel drops what comes after
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(hole.getsockname())
        resolving(monkeypatch, (socket.AF_INET, hole.getsockname()), (socket.AF_INET, ("127.0.0.1", server.port)))
        begun = time.monotonic()
        body = get("http://operator.test", seconds=2).body
        for client in waiting:
            client.close()
    assert body == b"fine"
    assert {"threads": 0.9, "loop": 0.2}[carrier] < time.monotonic() - begun < 2  # aiohttp tries the next sooner


def test_connection_that_rested_too_long_is_not_used_again(listen, monkeypatch):
    assert connections.IDLE_MAX == 15
    monkeypatch.setattr(connections, "IDLE_MAX", 0.1)
    server = listen(answering(http()))
    get(server.url)
    time.sleep(0.15)
    get(server.url)
    assert len(server.connections) == 2


def test_connection_that_is_used_again_and_again_is_kept(listen, monkeypatch):
    monkeypatch.setattr(connections, "IDLE_MAX", 2)
    server = listen(answering(http()))
    for _ in range(4):
        get(server.url)
        time.sleep(0.7)
    assert len(server.connections) == 1


def test_resting_connection_is_looked_at_while_nobody_else_can_take_it(listen, monkeypatch):
    server = listen(answering(http()))
    transport.send(Call(Request("token", "POST", server.url, body=b"x"), Deadline(LONG)))
    pool = connections.adapter().pool(server.url)
    monkeypatch.setattr(pool.pool, "put", lambda resting, block: resting.close())  # it is taken at once, and spent
    assert pool.has_connection()


def test_oldest_tls_that_is_spoken_is_1_2():
    assert connections.tls_context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_patience_of_a_request_ends_it_before_the_deadline(listen):
    server = listen(lambda server, connection: server.read(connection) and server.read(connection))
    begun = time.monotonic()
    with pytest.raises(OperatorTimeout):
        send(Request("jwks", "GET", server.url, patience=SHORT), Deadline(LONG))
    assert SHORT <= time.monotonic() - begun < SHORT + SLACK


def test_patience_does_not_outlast_the_deadline(listen):
    server = listen(lambda server, connection: server.read(connection) and server.read(connection))
    begun = time.monotonic()
    with pytest.raises(OperatorTimeout):
        send(Request("jwks", "GET", server.url, patience=LONG), Deadline(SHORT))
    assert time.monotonic() - begun < SHORT + SLACK


@pytest.mark.parametrize("code", [errno.ECONNRESET, errno.EPIPE, errno.EPROTOTYPE, errno.EHOSTUNREACH])
def test_connection_that_cannot_be_opened_is_unavailable_whatever_the_reason(listen, monkeypatch, code):
    def connect(opened, address):
        raise OSError(code, os.strerror(code))

    url = listen(answering(http())).url
    monkeypatch.setattr(socket.socket, "connect", connect)
    ends(OperatorUnavailable, url, seconds=LONG)


# Connections that are kept, and those that are opened ahead


@pytest.mark.parametrize(
    ("header", "opened"),
    [
        ("Keep-Alive: timeout=1, max=100", 2),
        ("Keep-Alive: max=100,timeout=1", 2),
        ("Keep-Alive: Timeout=0", 2),
        ("Keep-Alive: timeout=5", 1),
        ("Keep-Alive: timeout=99999999", 1),
        ("Keep-Alive: timeout=-1", 1),
        ("Keep-Alive: mytimeout=1", 1),
        ("Keep-Alive: nonsense", 1),
    ],
)
def test_connection_rests_no_longer_than_the_operator_says(listen, header, opened):
    server = listen(answering(http(b"{}", "200 OK", header)))
    get(server.url)
    get(server.url)
    assert len(server.connections) == opened


def warm(url, seconds=LONG):
    """Open a connection to ``url`` ahead, and wait until that is over."""
    carrier_now.warm(url, seconds)


def accepted(server):
    """Return how many connections ``server`` has once there is one: it accepts later than the client is connected."""
    until = time.monotonic() + LONG
    while not server.connections and time.monotonic() < until:
        time.sleep(0.01)
    return len(server.connections)


def test_connection_opened_ahead_rests_no_longer_than_the_operator_told_another(listen):
    server = listen(answering(http(b"{}", "200 OK", "Keep-Alive: timeout=1")))
    get(server.url)
    warm(server.url)
    post(server.url)
    assert len(server.connections) == 3


def test_what_the_operator_told_is_remembered_where_it_does_not_say_it_again(listen):
    server = listen(answering(http(b"{}", "200 OK", "Keep-Alive: timeout=2"), http(b"{}")))
    for pause in (0, 0, 1.1):
        time.sleep(pause)
        get(server.url)
    assert len(server.connections) == 2


def test_connection_that_was_opened_ahead_is_used(listen):
    server = listen(answering(http()))
    warm(f"{server.url}/api")
    assert accepted(server) == 1
    assert server.requests == []
    get(server.url)
    assert len(server.connections) == 1


def test_nothing_is_opened_ahead_where_a_connection_rests(listen):
    server = listen(answering(http()))
    get(server.url)
    warm(server.url)
    assert len(server.connections) == 1


@pytest.mark.parametrize("first", [get, warm])
def test_connection_that_rests_is_no_younger_for_a_login_that_begins(listen, monkeypatch, first):
    monkeypatch.setattr(connections, "IDLE_MAX", 0.5)
    server = listen(answering(http()))
    first(server.url)
    for _ in range(2):  # at the first of them it may still be used, after the second no more
        time.sleep(0.3)
        warm(server.url)
    post(server.url)
    assert len(server.connections) > 1


def test_connection_is_opened_ahead_where_the_operator_closed_the_old_one(listen):
    def serve(server, connection):
        server.read(connection)
        connection.sendall(http())

    server = listen(serve)
    get(server.url)
    server.connections[0].close()
    warm(server.url)
    get(server.url)
    assert len(server.connections) == 2


def test_connection_opened_ahead_that_speaks_first_is_not_used(listen):
    spoken = threading.Event()

    def serve(server, connection):
        if len(server.connections) == 1:
            connection.sendall(http(b"evil"))
            spoken.set()
        while server.read(connection):
            connection.sendall(http(b"fine"))

    server = listen(serve)
    warm(server.url)
    assert spoken.wait(LONG)
    assert get(server.url).body == b"fine"
    assert len(server.connections) == 2


def test_one_connection_is_opened_ahead_however_many_logins_begin(listen):
    server = listen(lambda server, connection: server.read(connection))
    url = server.url.replace("http:", "https:")  # whose handshake is not answered
    carrier_now.warm(url, SHORT, times=20)
    assert len(server.connections) == 1


@pytest.mark.parametrize("carrier", ["threads"], indirect=True)  # aiohttp has no such object before the handshake
def test_connection_whose_handshake_failed_carries_nothing(listen, tls):
    """The object is the pool's, and was fine a moment ago: its socket must not pass for a connection without TLS."""

    def serve(server, connection):
        server.read(connection)
        connection.sendall(http(b"fine"))

    context, file = tls()
    server = listen(serve, context)
    plain = listen(lambda server, connection: server.read(connection) and connection.sendall(http(b"evil")))
    said = run_script(FAILING, server.url, str(plain.port), SSL_CERT_FILE=file, SSL_CERT_DIR="/nonexistent").split()
    assert said == ["fine", "OperatorTimeout"]
    assert plain.requests == []


def test_thread_that_cannot_be_started_breaks_no_login(listen, monkeypatch):
    server = listen(answering(http()))

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        transport.warm([server.url], LONG)
    warm(server.url)
    assert accepted(server) == 1


def test_nobody_to_connect_to_is_left_to_the_callback(listen, caplog, carrier):
    caplog.set_level(logging.DEBUG, "numverify_django")
    server = listen(answering(http()))
    server.stop()
    warm(server.url)
    kind = {"threads": "NewConnectionError", "loop": "ClientConnectorError"}[carrier]
    said = [record.getMessage() for record in caplog.records if record.name.startswith("numverify")]
    assert said == [f"no connection was opened ahead: {kind}"]


WARMING = """
import sys, time
from numverify_django.calls import Deadline
from numverify_django.protocol.messages import Request
from tests.carriers import CARRIERS

carrier = CARRIERS[sys.argv[-1]]()
carrier.warm(sys.argv[1], 5)
time.sleep(0.2)  # for the session tickets
print(carrier.send(Request("jwks", "GET", sys.argv[1]), Deadline(5)).body.decode())
carrier.stop()
"""


FAILING = """
import socket, sys
from numverify_django.calls import Deadline
from numverify_django.protocol.exceptions import NumberVerifyError
from numverify_django.protocol.messages import Request
from tests.carriers import CARRIERS

carrier = CARRIERS[sys.argv[-1]]()

def ask():
    return carrier.send(Request("jwks", "GET", sys.argv[1]), Deadline(2)).body.decode()

print(ask())
found = socket.getaddrinfo
socket.getaddrinfo = lambda host, port, *rest: found(host, int(sys.argv[2]), *rest)
carrier.warm(sys.argv[1], 0.5)
try:
    print(ask())
except NumberVerifyError as error:
    print(type(error).__name__)
carrier.stop()
"""


def warmed(file, url):
    """Return what a process that trusts the certificate in ``file`` is told after it opened a connection ahead."""
    return run_script(WARMING, url, SSL_CERT_FILE=file, SSL_CERT_DIR="/nonexistent").strip()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_connection_that_was_opened_ahead_is_used(listen, tls, version):
    context, file = tls()
    context.maximum_version = version
    server = listen(answering(http(b"fine")), context)
    assert (warmed(file, server.url), len(server.connections)) == ("fine", 1)


def test_tls_connection_opened_ahead_that_speaks_first_is_not_used(listen, tls):
    def serve(server, connection):
        if len(server.connections) == 1:
            connection.sendall(http(b"evil"))
        while server.read(connection):
            connection.sendall(http(b"fine"))

    context, file = tls()
    server = listen(serve, context)
    assert (warmed(file, server.url), len(server.connections)) == ("fine", 2)


def test_tls_connection_opened_ahead_and_closed_again_is_not_used(listen, tls):
    def serve(server, connection):
        if len(server.connections) > 1:
            server.read(connection)
            connection.sendall(http(b"fine"))

    context, file = tls()
    server = listen(serve, context)
    assert (warmed(file, server.url), len(server.connections)) == ("fine", 2)


# Documents that many want at once


def fetching(hop="jwks", is_public=True, patience=None):
    """Return a conversation that fetches ``/keys`` of ``url``."""

    def conversation(url):
        return (yield Request(hop, "GET", f"{url}/keys", is_public=is_public, patience=patience)).body

    return conversation


def in_threads(count, act):
    """Return what ``act`` returned, or the class it raised, in each of ``count`` threads that begin at once."""
    barrier, found = threading.Barrier(count), []

    def begin():
        barrier.wait(LONG)
        try:
            found.append(act())
        except (OperatorTimeout, OperatorUnavailable) as error:
            found.append(type(error))

    threads = [threading.Thread(target=begin) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    return found


def slowly(*answers):
    """Return a serve function that takes its time for each answer; the last is given repeatedly."""
    rest = list(answers)

    def serve(server, connection):
        while server.read(connection):
            time.sleep(2 * SHORT)
            connection.sendall(rest.pop(0) if len(rest) > 1 else rest[0])

    return serve


def test_public_document_is_fetched_once_for_all_threads(listen):
    server = listen(slowly(http(b"keys")))
    found = in_threads(16, lambda: run(fetching()(server.url), Deadline(LONG)))
    assert (found, len(server.requests)) == ([b"keys"] * 16, 1)


def test_answer_for_one_person_is_fetched_by_each(listen):
    server = listen(slowly(http(b"number")))
    found = in_threads(4, lambda: run(fetching("share", is_public=False)(server.url), Deadline(LONG)))
    assert (found, len(server.requests)) == ([b"number"] * 4, 4)


def test_document_is_fetched_again_by_who_looks_for_it_later(listen):
    server = listen(answering(http(b"keys")))
    for _ in range(3):
        run(fetching()(server.url), Deadline(LONG))
    assert len(server.requests) == 3


def test_failed_fetch_fails_its_own_login_alone(listen):
    server = listen(slowly(b"broken\r\n\r\n", http(b"keys")))
    found = in_threads(8, lambda: run(fetching()(server.url), Deadline(LONG)))
    assert sorted(found, key=str) == sorted([OperatorUnavailable] + [b"keys"] * 7, key=str)
    assert len(server.requests) == 2


def test_answer_that_is_no_document_is_its_own_login_s_alone(listen):
    server = listen(slowly(http(b"{}", "503 Service Unavailable"), http(b"keys")))
    found = in_threads(8, lambda: run(fetching()(server.url), Deadline(LONG)))
    assert (sorted(found), len(server.requests)) == ([b"keys"] * 7 + [b"{}"], 2)


def test_fetch_of_another_thread_is_waited_for_within_the_own_time(listen):
    server = listen(lambda server, connection: server.read(connection) and server.read(connection))
    slow = threading.Thread(target=in_threads, args=(1, lambda: run(fetching()(server.url), Deadline(1))))
    slow.start()
    while not server.requests:
        time.sleep(0.01)
    begun = time.monotonic()
    with pytest.raises(OperatorTimeout):
        run(fetching(patience=SHORT)(server.url), Deadline(LONG))
    assert SHORT <= time.monotonic() - begun < SHORT + SLACK
    slow.join(LONG)


def test_thread_that_dies_while_it_fetches_keeps_nobody_waiting(listen):
    server = listen(answering(http(b"keys")))

    def dying(url):
        yield Request("jwks", "GET", f"{url}/keys", is_public=True)
        raise Dying

    class Dying(BaseException):
        pass

    with pytest.raises(Dying):
        run(dying(server.url), Deadline(LONG))
    assert run(fetching()(server.url), Deadline(SHORT)) == b"keys"


def test_time_spent_waiting_for_another_thread_is_among_the_timings(listen):
    server, timings = listen(slowly(http(b"keys"))), []

    def spend():
        timings.append(spent := {})
        return run(fetching()(server.url), Deadline(LONG), timings=spent)

    in_threads(3, spend)
    assert [list(spent) for spent in timings] == [["jwks"]] * 3
    assert all(spent["jwks"] >= SHORT * 1000 - 100 for spent in timings)
