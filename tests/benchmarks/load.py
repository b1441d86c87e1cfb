"""People with phones: whole logins over plain sockets, because http.client would cost more than some of the sites."""

import itertools
import json
import socket
import threading
import time
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

CSRF = "benchmarkbenchmarkbenchmarkbench"  # 32 letters, as Django's own; any value does, twice
PATIENCE = 60  # seconds
CLIENTS = 16
NUMBERS = 2  # that each client logs in with, in turn

_addresses = itertools.count(1)  # a new one for each login: the limits are about people, and stay on


class Answer(NamedTuple):
    """What came back; ``ms`` is how long it took."""

    status: int
    headers: list  # of (lower-case name, value)
    body: bytes
    ms: float

    def get(self, name):
        """Return the first header called ``name``, or ""."""
        return next((value for known, value in self.headers if known == name), "")

    @property
    def cookies(self):
        """The cookies that it sets: name -> value."""
        pairs = (value.partition(";")[0] for name, value in self.headers if name == "set-cookie")
        return dict(pair.split("=", 1) for pair in pairs)


class Wire:
    """A kept connection to ``port`` of this machine."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._socket.close()

    def ask(self, method, target, headers, body=b""):
        """Send a request; return its Answer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"{method} {target} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
        begun = time.perf_counter()
        self._socket.sendall(request)
        head, rest = self._read_head()
        ms = (time.perf_counter() - begun) * 1000
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return Answer(int(first.split(" ")[1]), pairs, self._read_body(dict(pairs), rest), ms)

    def _read_head(self):
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, rest = received.partition(b"\r\n\r\n")
        return head, rest

    def _read_body(self, headers, rest):
        while len(rest) < int(headers["content-length"]):
            rest += self._receive()
        return rest

    def _receive(self):
        received = self._socket.recv(65_536)
        if not received:
            raise ConnectionError("the connection was closed before the answer was whole")
        return received


class Door(NamedTuple):
    """Where people log in: a site's ``port`` and the path that its form is posted to; ``phones`` is the operator's."""

    port: int
    path: str
    phones: int


class Login(NamedTuple):
    """One login: how long its two requests took (ms), and their statements where these were asked for."""

    start: float
    callback: float
    statements: tuple = ()


def number_of(client, turn):
    """Return a number of this client's own, in E.164."""
    return f"+34600{client * NUMBERS + turn % NUMBERS:06}"


def log_in(door, number, wire, phone, *, pause=0, back=None, count=False):
    """Log in with ``number`` and return the Login, or raise AssertionError.

    ``wire`` leads to the site and ``phone`` to the operator, which the browser is at for ``pause`` seconds. The
    callback goes through ``back`` where it is to reach another instance of the site. ``count`` asks for statements.
    """
    headers = {"Host": f"127.0.0.1:{door.port}", "X-Forwarded-For": _address(), "Cookie": f"csrftoken={CSRF}"}
    headers |= {"X-Count": "yes"} if count else {}
    form = urlencode({"phone_number": number, "csrfmiddlewaretoken": CSRF}).encode()
    start = wire.ask("POST", door.path, headers | {"Content-Type": "application/x-www-form-urlencoded"}, form)
    assert start.status == 302, start
    came = phone.ask("GET", _target(start.get("location")), {"Host": "operator", "X-SIM": number})
    time.sleep(pause)
    headers["Cookie"] += "".join(f"; {name}={value}" for name, value in start.cookies.items())
    end = (back or wire).ask("GET", _target(came.get("location")), headers)
    assert (end.status, end.get("location")) == (302, "/home/"), (end, start)
    return Login(start.ms, end.ms, tuple(_statements(start) + _statements(end)))


def _address():
    number = next(_addresses)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _target(url):
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def _statements(answer):
    return json.loads(answer.get("x-statements") or "[]")


def crowd(door, clients, *, seconds=0, logins=1):
    """Let ``clients`` log in at once and again, for ``seconds`` and at least ``logins`` times each.

    Each login comes on a connection of its own, as people do. Returns the Logins and how many were made in a second.
    """
    made, rates, errors = [], [], []

    def run(client):
        try:
            done, took = _visits(door, client, seconds, logins)
        except Exception as error:  # of one thread: it is the whole measurement's
            errors.append(error)
        else:
            made.extend(done)
            rates.append(len(done) / took)

    threads = [threading.Thread(target=run, args=[client]) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return made, sum(rates)


def _visits(door, client, seconds, logins):
    done, begun = [], time.perf_counter()
    with Wire(door.phones) as phone:
        while time.perf_counter() - begun < seconds or len(done) < logins:
            with Wire(door.port) as wire:
                done.append(log_in(door, number_of(client, len(done)), wire, phone))
    return done, time.perf_counter() - begun
