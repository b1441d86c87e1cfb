"""The way to the operator takes at least the round trip that it is set to."""

import socket
import threading
import time

import pytest

from . import processes

RTT = 0.06  # seconds


@pytest.fixture
def echo():
    """The port of a server that answers one connection with what it is sent."""

    def serve():
        connection, _ = listener.accept()
        with connection:
            while received := connection.recv(1024):
                connection.sendall(received)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.fixture
def far(echo):
    """A connection to that server, a round trip away, that was opened just now."""
    proxy = processes.Helper("proxy")
    try:
        proxy.tell(echo)
        proxy.tell(RTT * 1000)
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", proxy.ports[0]), 5) as connection:
            yield connection, begun
    finally:
        proxy.stop()


def ask(connection, text, begun=None):
    """Return the answer to ``text`` and the seconds that it took, since ``begun`` if that is told."""
    begun = begun or time.monotonic()
    connection.sendall(text)
    received = b""
    while len(received) < len(text):
        received += connection.recv(1024)
    return received, time.monotonic() - begun


def test_first_answer_takes_two_round_trips_and_the_next_takes_one(far):
    connection, begun = far
    opening = ask(connection, b"hello", begun)
    following = ask(connection, b"again")

    assert (opening[0], following[0]) == (b"hello", b"again")
    assert opening[1] >= 2 * RTT
    assert following[1] >= RTT


def test_order_is_kept(far):
    text = b"".join(b"%04d" % number for number in range(200))
    connection, _ = far
    for start in range(0, len(text), 4):
        connection.sendall(text[start : start + 4])
    received = b""
    while len(received) < len(text):
        received += connection.recv(1024)
    assert received == text
