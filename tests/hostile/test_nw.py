"""NW: network faults."""

import datetime
import errno
import io
import ipaddress
import os
import signal
import socket
import ssl
import struct
import threading
import time
import warnings
from contextlib import ExitStack, contextmanager, suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from numverify_django import conf, flow, limits
from numverify_django.models import VerificationAttempt
from numverify_django.protocol.conversation import Directory

from ..conftest import Browser
from . import tokens
from .conftest import IN_LOOP, TYPED, Visitor, forget_connections
from .operator import HONEST, Operator, Reply
from .test_cc import together
from .test_tr import (
    AGAIN,
    UNFINISHED,
    WHOLE,
    refused_with_one_of,
    start_in_vain,
)

HOPS = WHOLE
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
NOT_OPEN = "This login is no longer open"
REPLAYED = (400, 409, 410)


class Rigged(Operator):
    """An operator below whose HTTP a case can reach: its listener, its TLS, and each connection as it is accepted.

    ``tls`` is the context of its connections, or None; ``greet`` gets each new connection and ends it, where it is set.
    """

    def __init__(self, tls=None):
        self.greet, self.tls, self._honest_tls = None, tls, tls
        super().__init__()
        if tls:
            self.url = self.url.replace("http:", "https:")

    def restore(self):
        """Be honest again, and listen."""
        super().restore()
        self.greet, self.tls = None, self._honest_tls
        if self._listener.fileno() == -1:
            self.plug_in()

    def unplug(self):
        """Listen no more: connections are refused."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def plug_in(self):
        """Listen again."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._start(self._accept)

    @contextmanager
    def black_hole(self):
        """Swallow what comes: nothing answers a connection that is opened meanwhile."""
        self.unplug()
        with socket.create_server(("127.0.0.1", self.port), backlog=0):
            waiting = [socket.socket() for _ in range(4)]  # they fill the backlog: the kernel drops what comes after
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", self.port))
            yield
            for client in waiting:
                client.close()

    def _serve(self, connection):
        with suppress(OSError, ValueError), connection:
            if self.greet:
                self.greet(connection)
            elif self.tls:
                with self.tls.wrap_socket(connection, server_side=True) as secured:
                    self.connections.append(secured)
                    super()._serve(secured)
            else:
                super()._serve(connection)


@pytest.fixture
def operator():
    """A hostile operator with a hostile network."""
    server = Rigged()
    yield server
    server.close()


def faulty(trial, hop, fault):
    """Make one login that fails because ``hop`` is ``fault``, an endpoint; return the calls it is to make."""
    setattr(trial.operator, hop, fault)
    page = start_in_vain(trial) if hop == "discovery" else trial.log_in()
    assert UNFINISHED in page.content.decode()
    return HOPS[: HOPS.index(hop) + 1]


def impatient(trial):
    """Give the operator half a second for all calls of a callback."""
    trial.configure(TIMEOUT=0.5)
    trial.may_spend = 1.5


def reset(connection):
    """Make the end of this connection a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def before(trial, hop, happen):
    """Make one login, and let ``happen`` come between ``hop`` and the call before it, on no kept connection."""
    if hop == "discovery":
        happen()
        return start_in_vain(trial)
    if hop == "token":
        callback = trial.begin()
        trial.operator.hang_up()
        happen()
        return trial.come_back(callback)
    previous = HOPS[HOPS.index(hop) - 1]

    def answer(operator, received):
        happen()
        return Reply(HONEST[previous](operator, received).body, headers={"Connection": "close"})

    setattr(trial.operator, previous, answer)
    return trial.log_in()


# NW-01: nobody there


@pytest.mark.parametrize("hop", HOPS)
def test_nw_01_refused_connection_is_operator_unavailable(trial, hop):
    page = before(trial, hop, trial.operator.unplug)

    assert UNFINISHED in page.content.decode()
    trial.refused("operator_unavailable", calls=HOPS[: HOPS.index(hop)])


@pytest.mark.parametrize("hop", ["discovery", "token", "verify"])
def test_nw_01_black_hole_is_operator_timeout(trial, hop):
    impatient(trial)
    with ExitStack() as holes:
        page = before(trial, hop, lambda: holes.enter_context(trial.operator.black_hole()))

    assert UNFINISHED in page.content.decode()
    trial.refused("operator_timeout", calls=HOPS[: HOPS.index(hop)])


@pytest.mark.parametrize(
    "host", ["no-such-operator.invalid", f"{'a' * 64}.example", "-.example", f"{'a.' * 130}example"]
)
def test_nw_01_name_that_does_not_resolve_is_operator_unavailable(trial, host):
    trial.configure(ISSUER=f"https://{host}", API_ROOT=f"https://{host}/v1")
    page = start_in_vain(trial)
    trial.configure()

    assert UNFINISHED in page.content.decode()
    trial.refused("operator_unavailable")


RESOLVERS = {
    "no such name": socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    "a failure for now": socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    "no descriptor": OSError(24, "Too many open files"),
    "a name that is none": UnicodeError("label too long"),
    "no address": [],
}


@pytest.mark.parametrize("found", RESOLVERS.values(), ids=RESOLVERS)
def test_nw_01_name_that_stops_resolving_is_operator_unavailable(trial, found, monkeypatch):
    trial.operator.url = trial.operator.url.replace("127.0.0.1", "localhost")
    trial.configure()
    callback = trial.begin()
    trial.operator.hang_up()
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", lambda *args, **options: answer_with(found))
        page = trial.come_back(callback)

    assert UNFINISHED in page.content.decode()
    trial.refused("operator_unavailable", calls=["discovery"])


def answer_with(found):
    """Return what a resolver found, or raise it."""
    if isinstance(found, Exception):
        raise found
    return found


# NW-02: drips


def dripping(head, piece, pause=0.1):
    """Return an endpoint that sends ``head``, and then ``piece`` again and again with a pause before each."""

    def drip(connection):
        connection.sendall(head)
        for _ in range(100):
            time.sleep(pause)
            connection.sendall(piece)

    return lambda operator, received: drip


@pytest.mark.parametrize("hop", HOPS)
def test_nw_02_dripped_body_ends_with_the_deadline(trial, hop):
    impatient(trial)
    calls = faulty(trial, hop, dripping(OK + b"Content-Length: 1000\r\n\r\n", b" "))

    trial.refused("operator_timeout", calls)


DRIPS = {
    "the status line": (b"HTTP/1.1 200 ", b"x"),
    "a header": (OK + b"X: ", b"x"),
    "headers": (OK, b"X: y\r\n"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body without a length": (OK + b"\r\n", b" "),
}


@pytest.mark.parametrize(("head", "piece"), DRIPS.values(), ids=DRIPS)
def test_nw_02_dripped_frame_ends_with_the_deadline(trial, head, piece):
    impatient(trial)
    calls = faulty(trial, "token", dripping(head, piece))

    trial.refused("operator_timeout", calls)


def test_nw_02_slow_answers_share_one_deadline(trial):
    impatient(trial)

    def slow(hop):
        return lambda operator, received: time.sleep(0.2) or HONEST[hop](operator, received)

    trial.operator.token, trial.operator.jwks = slow("token"), slow("jwks")
    calls = faulty(trial, "verify", slow("verify"))

    trial.refused("operator_timeout", calls)


def test_nw_02_operator_that_neither_reads_nor_answers_ends_with_the_deadline(trial):
    impatient(trial)
    held = threading.Event()

    def hold():
        trial.operator.greet = lambda connection: held.wait(5)

    page = before(trial, "token", hold)
    held.set()

    assert UNFINISHED in page.content.decode()
    trial.refused("operator_timeout", calls=["discovery"])


# NW-05: TLS


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
SERVER = x509.ExtendedKeyUsageOID.SERVER_AUTH
CERTIFICATES = {  # what is wrong with it -> its names, the days in which it is valid, and what it is for
    "nothing": ([LOOPBACK], (-1, 1), SERVER),
    "expired": ([LOOPBACK], (-3, -1), SERVER),
    "not yet valid": ([LOOPBACK], (1, 3), SERVER),
    "another host": ([x509.DNSName("operator.example")], (-1, 1), SERVER),
    "its address as a name": ([x509.DNSName("127.0.0.1")], (-1, 1), SERVER),
    "its address as the subject alone": ([], (-1, 1), SERVER),
    "of a client": ([LOOPBACK], (-1, 1), x509.ExtendedKeyUsageOID.CLIENT_AUTH),
    "unknown authority": ([LOOPBACK], (-1, 1), SERVER),
}
WRONG = [name for name in CERTIFICATES if name != "nothing"]


def certificate(fault):
    """Return a certificate of its own making with this fault (PEM), and its key."""
    names, (begins, ends), use = CERTIFICATES[fault]
    key, now = tokens.ec_key(fault), datetime.datetime.now(datetime.UTC)
    subject = "127.0.0.1" if fault == "its address as the subject alone" else fault
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins))
        .not_valid_after(now + datetime.timedelta(days=ends))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    )
    if names:
        built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), private


class Authority:
    """Certificates that this machine trusts, but for one: each has one fault, so that nothing else refuses it."""

    def __init__(self, folder):
        self._folder = folder
        self.trusted = folder / "trusted.pem"
        made = {fault: certificate(fault) for fault in CERTIFICATES}
        for fault, (public, private) in made.items():
            self._file(fault).write_bytes(public + private)
        self.trusted.write_bytes(
            b"".join(public for fault, (public, _) in made.items() if fault != "unknown authority")
        )

    def _file(self, fault):
        return self._folder / f"{fault}.pem"

    def context(self, fault="nothing"):
        """Return the TLS context of a server with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._file(fault))
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """The certificates."""
    return Authority(tmp_path_factory.mktemp("certificates"))


class TestTLS:
    """The same site with an operator that speaks TLS."""

    @pytest.fixture
    def operator(self, authority, monkeypatch):
        """A hostile operator that speaks TLS, by a certificate that this machine trusts."""
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
        monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.trusted))  # for the visitor, who uses requests
        forget_connections()
        server = Rigged(authority.context())
        yield server
        server.close()
        forget_connections()

    def test_nw_05_certificate_that_is_right_is_accepted(self, trial):
        trial.log_in()

        trial.verified(WHOLE)

    @pytest.mark.parametrize("fault", WRONG)
    def test_nw_05_wrong_certificate_is_told_nothing(self, trial, authority, fault):
        trial.operator.tls = authority.context(fault)
        page = start_in_vain(trial)

        assert UNFINISHED in page.content.decode()
        trial.refused("operator_unavailable")

    @pytest.mark.parametrize("fault", ["another host", "unknown authority"])
    @pytest.mark.parametrize("hop", ["token", "verify"])
    def test_nw_05_certificate_that_turns_wrong_gets_neither_code_nor_token(self, trial, authority, fault, hop):
        def turn():
            trial.operator.tls = authority.context(fault)

        page = before(trial, hop, turn)

        assert UNFINISHED in page.content.decode()
        trial.refused("operator_unavailable", calls=HOPS[: HOPS.index(hop)])

    def test_nw_05_tls_1_1_is_refused(self, trial, authority):
        old = authority.context()
        speak(old, ssl.TLSVersion.TLSv1_1)
        trial.operator.tls = old
        assert version_with(trial.operator.port, ssl.TLSVersion.TLSv1_1) == "TLSv1.1"
        page = start_in_vain(trial)

        assert UNFINISHED in page.content.decode()
        trial.refused("operator_unavailable")

    def test_nw_05_nothing_below_tls_1_2_is_offered(self, trial):
        hellos = []
        trial.operator.greet = lambda connection: hellos.append(connection.recv(65_536))
        start_in_vain(trial)

        (hello,) = hellos
        assert set(versions_offered(hello)) == {0x0303, 0x0304}
        trial.refused("operator_unavailable")

    def test_nw_05_plain_answer_is_refused(self, trial):
        trial.operator.greet = lambda connection: connection.recv(65_536) and connection.sendall(OK + b"\r\n{}")
        start_in_vain(trial)

        trial.refused("operator_unavailable")

    @pytest.mark.parametrize("fault", ["unknown authority", "another host"])
    def test_nw_05_no_setting_of_others_switches_verification_off(self, trial, authority, settings, monkeypatch, fault):
        settings.OIDC_VERIFY_SSL = False  # mozilla-django-oidc's
        monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, str(authority._file(fault)))
        forget_connections()
        trial.operator.tls = authority.context(fault)
        start_in_vain(trial)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.trusted))

        trial.refused("operator_unavailable")

    @pytest.mark.parametrize("key", ["VERIFY", "VERIFY_SSL", "TLS_VERIFY"])
    def test_nw_05_no_setting_of_ours_switches_verification_off(self, trial, key):
        trial.configure(**{key: False})
        problems = run_checks(tags=["security"])
        answer = trial.visitor.start()
        trial.configure()

        assert [problem.id for problem in problems if problem.is_serious()] == ["numverify.E002"]
        assert answer.status_code == 503
        trial.nothing()

    def test_nw_05_operator_without_tls_is_an_error_of_the_settings(self, trial):
        trial.configure(ISSUER="http://operator.example", API_ROOT="http://operator.example/v1")
        problems = run_checks(tags=["security"])
        answer = trial.visitor.start()
        trial.configure()

        assert {problem.id for problem in problems if problem.is_serious()} == {"numverify.E007"}
        assert answer.status_code == 503
        trial.nothing()

    # CPython's SSLSocket leaves a socket that is reset before its handshake to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("hop", ["discovery", "verify"])
    @pytest.mark.parametrize("moment", ["at once", "after the hello", "in the handshake"])
    def test_nw_11_reset_in_the_handshake_is_operator_unavailable(self, trial, hop, moment):
        def greet(connection):
            if moment != "at once":
                connection.recv(65_536)
            if moment == "in the handshake":
                connection.sendall(b"\x16\x03\x03\x00\x7a\x02\x00")
                time.sleep(0.05)
            reset(connection)

        def begin():
            trial.operator.greet = greet

        page = before(trial, hop, begin)

        assert UNFINISHED in page.content.decode()
        trial.refused("operator_unavailable", calls=HOPS[: HOPS.index(hop)])

    def test_nw_02_handshake_that_is_dripped_ends_with_the_deadline(self, trial):
        impatient(trial)

        def drip(connection):
            connection.recv(65_536)
            for byte in b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(200):
                connection.sendall(bytes([byte]))
                time.sleep(0.1)

        callback = trial.begin()
        trial.operator.hang_up()
        trial.operator.greet = drip
        trial.come_back(callback)

        trial.refused("operator_timeout", calls=["discovery"])

    def test_nw_02_dripped_body_in_tls_ends_with_the_deadline(self, trial):
        impatient(trial)
        calls = faulty(trial, "token", dripping(OK + b"Content-Length: 1000\r\n\r\n", b" "))

        trial.refused("operator_timeout", calls)

    def test_nw_06_second_answer_in_a_record_is_not_taken_for_the_next_one(self, trial):
        """It is decrypted together with the first, and no socket shows that it is there."""

        def verify(operator, received):
            asked = HONEST["verify"](operator, received).encode()
            return asked.ljust(8192, b"#") + Reply({"access_token": "x", "token_type": "Bearer"}).encode() * 2

        trial.operator.verify, trial.operator.sim = verify, "+34600000002"
        trial.log_in()
        first = "operator_unavailable" if IN_LOOP else "number_mismatch"  # aiohttp minds the surplus
        trial.refused(first, calls=WHOLE)
        trial.operator.verify = HONEST["verify"]
        trial.log_in()

        trial.refused("number_mismatch", calls=WHOLE + AGAIN)

    def test_nw_11_answer_that_is_cut_in_tls_is_operator_unavailable(self, trial):
        true = b'{"devicePhoneNumberVerified": true}'
        calls = faulty(trial, "verify", saying(OK + b"Content-Length: 100\r\n\r\n" + true))

        trial.refused("operator_unavailable", calls)


def speak(context, version):
    """Let ``context`` speak this TLS version alone, however old."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version


def version_with(port, version):
    """Return the TLS version that a client agrees on that speaks this one alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    speak(context, version)
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as secured:
        return secured.version()


def versions_offered(hello):
    """Return the versions that a TLS ClientHello offers (RFC 8446 4.1.2, 4.2.1)."""
    at = 5 + 4 + 2 + 32  # record, handshake, legacy version, random
    at += 1 + hello[at]  # session ID
    at += 2 + int.from_bytes(hello[at : at + 2])  # cipher suites
    at += 1 + hello[at] + 2  # compression methods, length of the extensions
    while at < len(hello):
        kind, size = (int.from_bytes(hello[start : start + 2]) for start in (at, at + 2))
        if kind == 0x002B:
            listed = hello[at + 5 : at + 4 + size]
            return [int.from_bytes(listed[index : index + 2]) for index in range(0, len(listed), 2)]
        at += 4 + size
    return [int.from_bytes(hello[9:11])]


# NW-06: what is no HTTP


def saying(data):
    """Return an endpoint that sends ``data`` and closes."""
    return lambda operator, received: lambda connection: connection.sendall(data)


NO_HTTP = {
    "garbage": b"garbage\r\n\r\n",
    "nothing": b"",
    "HTTP/0.9": b'{"access_token": "x", "token_type": "Bearer"}',
    "HTTP/2": b"HTTP/2 200\r\n\r\n{}",
    "HTTP/2 frames": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18),
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x16",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a negative status": b"HTTP/1.1 -200 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "200 headers": OK + b"X: y\r\n" * 200 + b"\r\n{}",
    "a header of 100 kB": OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n{}",
    "a header without a colon": OK + b"nonsense\r\nContent-Length: 2\r\n\r\n{}",
    "a bare interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "another protocol after an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n{}",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
}


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
def test_nw_06_what_is_no_http_is_operator_unavailable(trial, data):
    calls = faulty(trial, "token", saying(data))

    trial.refused("operator_unavailable", calls)


def test_nw_06_headers_that_are_cut_are_refused(trial):
    calls = faulty(trial, "token", saying(OK + b"Content-Length: 1"))

    refused_with_one_of(trial, ["operator_unavailable", "token_invalid"], calls)


@pytest.mark.parametrize("hop", ["discovery", "jwks", "verify"])
@pytest.mark.parametrize("data", [NO_HTTP["garbage"], NO_HTTP["200 headers"]], ids=["garbage", "200 headers"])
def test_nw_06_what_is_no_http_is_operator_unavailable_at_every_call(trial, hop, data):
    calls = faulty(trial, hop, saying(data))

    trial.refused("operator_unavailable", calls)


FLOODS = {
    "100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "100 Continue with headers": (b"HTTP/1.1 100 Continue\r\n" + (b"X: " + b"y" * 60_000 + b"\r\n") * 50 + b"\r\n"),
    "status line": b"H" * 65_536,
}


@pytest.mark.parametrize("piece", FLOODS.values(), ids=FLOODS)
def test_nw_06_flood_before_the_answer_is_bounded(trial, piece):
    impatient(trial)

    def flood(connection):
        while True:
            connection.sendall(piece)

    calls = faulty(trial, "token", lambda operator, received: flood)

    refused_with_one_of(trial, ["operator_timeout", "operator_unavailable", "response_too_large"], calls)


ODD_HEADERS = {
    "a charset without a value": b"Content-Type: application/json; charset",
    "a type that is none": b"Content-Type: ;;=;charset=;",
    "a type beyond ASCII": b"Content-Type: \xff\xfe",
    "a cookie of no age": b"Set-Cookie: a=b; Max-Age=" + b"9" * 5000,
    "a cookie of no date": b"Set-Cookie: a=b; Expires=Thu, 99 Foo 99999 99:99:99 GMT; Version=x; Port; Domain=",
    "a date that is none": b"Date: \x00\x01",
    "a place that is none": b"Location: http://[::1",
    "a name beyond ASCII": b"\xe9: x",
}


@pytest.mark.parametrize("header", ODD_HEADERS.values(), ids=ODD_HEADERS)
def test_nw_06_header_without_sense_does_not_hide_the_status(trial, header):
    data = b"HTTP/1.1 503 Unavailable\r\n" + header + b"\r\nContent-Length: 2\r\n\r\n{}"
    calls = faulty(trial, "discovery", lambda operator, received: data)

    trial.refused("operator_unavailable", calls)


def test_nw_06_answer_after_one_interim_answer_is_accepted(trial):
    trial.operator.token = lambda operator, received: (
        b"HTTP/1.1 100 Continue\r\n\r\n" + HONEST["token"](operator, received).encode()
    )
    trial.log_in()

    trial.verified(WHOLE)


@pytest.mark.parametrize("hop", ["token", "verify"])
def test_nw_06_second_answer_is_not_taken_for_the_next_one(trial, hop):
    """What follows an answer unasked says true to a question that comes later."""
    unasked = Reply({"devicePhoneNumberVerified": True}).encode()
    setattr(trial.operator, hop, lambda operator, received: HONEST[hop](operator, received).encode() + unasked * 2)
    trial.operator.sim = "+34600000002"
    trial.log_in()
    trial.refused("number_mismatch", calls=WHOLE)
    setattr(trial.operator, hop, HONEST[hop])
    trial.log_in()

    trial.refused("number_mismatch", calls=WHOLE + AGAIN)


# NW-07: an operator that is down for long

KEYS = ["token", "jwks", "verify"]  # what a login costs while nothing but the metadata is known
WAY = {"FALLBACK_URL": "/password/"}
FIVE = {  # the hop that fails -> what five logins ask for
    "discovery": ["discovery"] * 5,
    "token": ["discovery", *["token"] * 5],
    "jwks": ["discovery", *["token", "jwks"] * 5],
    "verify": ["discovery", "token", "jwks", "verify", *AGAIN * 4],
}


def down_for_long(trial, hop, way=WAY):
    """Let five logins meet a server error at ``hop``; return the calls they made."""
    trial.configure(site=way | {"RATE_LIMITS": {"number_address": None}})
    for _ in range(5):
        faulty(trial, hop, lambda operator, received: Reply({}, 503))
        trial.refused("operator_unavailable", calls=FIVE[hop])
    return FIVE[hop]


def half_open():
    """Let the time pass after which one call is tried."""
    (operator,) = conf.get().operators
    cache.delete(limits.Circuit(operator)._open)


@pytest.mark.parametrize(("hop", "later"), [("discovery", WHOLE), ("token", KEYS), ("jwks", KEYS), ("verify", AGAIN)])
def test_nw_07_operator_that_is_down_for_long_is_not_asked(trial, hop, later):
    calls = down_for_long(trial, hop)
    for _ in range(3):
        page = trial.visitor.start(next="/members/")
        assert (page.status_code, UNFINISHED in page.content.decode()) == (503, True)
        assert 'href="/password/?next=%2Fmembers%2F"' in page.content.decode()
    half_open()
    trial.operator.restore()
    trial.log_in()

    trial.verified([*calls, *later])


def test_nw_07_callback_of_an_operator_that_went_down_meanwhile_asks_nothing(trial):
    trial.configure(site={"FALLBACK_URL": "/password/", "RATE_LIMITS": {"number_address": None}})
    callback, other = trial.begin(), trial.visitor
    trial.visitor = Visitor(trial.responses)
    calls = down_for_long(trial, "token")
    page = other.come_back(callback)

    assert "Log in another way" in page.content.decode()
    assert trial.operator.hops == calls
    trial.expected.insert(0, ("unavailable", "operator_unavailable"))
    half_open()


def test_nw_07_fault_of_the_one_call_that_is_tried_keeps_the_others_away(trial):
    calls = down_for_long(trial, "token")
    half_open()
    trial.log_in()
    trial.refused("operator_unavailable", calls=[*calls, "token"])
    assert trial.visitor.start().status_code == 503
    half_open()
    trial.operator.restore()
    trial.log_in()

    trial.verified([*calls, "token", *KEYS])


def hanging(operator, received):
    """Never answer."""
    return lambda connection: time.sleep(5)


def test_nw_07_callback_in_a_cold_worker_does_not_wait_for_a_dead_operator(trial, monkeypatch):
    trial.configure(site={"RATE_LIMITS": {"number_address": None}})
    callback, other = trial.begin(), trial.visitor
    trial.visitor = Visitor(trial.responses)
    calls = down_for_long(trial, "token", way={})
    monkeypatch.setattr(flow, "_directory", Directory())
    trial.operator.discovery = hanging
    begun = time.monotonic()
    other.come_back(callback)

    assert time.monotonic() - begun < 1
    assert trial.operator.hops == calls
    trial.expected.insert(0, ("unavailable", "operator_unavailable"))
    half_open()


def test_nw_07_one_start_alone_tries_a_dead_operator_again(transactional_db, live_server, trial, monkeypatch):
    trial.configure(site={"RATE_LIMITS": {"number_address": None}}, TIMEOUT=1)
    for _ in range(5):
        faulty(trial, "discovery", lambda operator, received: Reply({}, 503))
    half_open()
    trial.operator.discovery = hanging
    browsers = [Browser(live_server.url) for _ in range(6)]
    answers = together(lambda browser: browser.log_in(TYPED, allow_redirects=False), browsers)

    assert {answer.status_code for answer in answers} <= {302, 503}
    assert trial.operator.hops == ["discovery"] * 6
    trial.expected = list(VerificationAttempt.objects.order_by("pk").values_list("outcome", "reason"))
    assert set(trial.expected) == {("unavailable", "operator_unavailable"), ("unavailable", "operator_timeout")}
    trial.calls = ["discovery"] * 6
    trial.responses.clear()
    trial.check_page = lambda: None  # the last page was shown to a browser of the live site
    half_open()


def test_nw_07_wrong_codes_between_faults_do_not_hide_them(trial):
    trial.configure(site={"RATE_LIMITS": {"number_address": None}})
    calls = []
    for number in range(5):
        trial.operator.token = HONEST["token"]
        trial.operator.verify = lambda operator, received: Reply({}, 503)
        trial.log_in()
        calls += ["discovery", "token", "jwks", "verify"] if number == 0 else AGAIN
        trial.refused("operator_unavailable", calls=calls)
        trial.operator.token = lambda operator, received: Reply({"error": "invalid_grant"}, 400)
        if number < 4:
            trial.log_in()
            calls += ["token"]
            trial.refused("token_refused", calls=calls)
    assert trial.visitor.start().status_code == 503
    half_open()
    trial.operator.restore()
    trial.log_in()
    trial.verified([*calls, *AGAIN])


def test_nw_07_answers_that_a_person_causes_open_nothing(trial):
    trial.configure(site={"RATE_LIMITS": {"number_address": None}})
    trial.operator.token = lambda operator, received: Reply({"error": "invalid_grant"}, 400)
    for number in range(6):
        trial.log_in()
        trial.refused("token_refused", calls=["discovery", *["token"] * (number + 1)])
    trial.operator.restore()
    trial.log_in()

    trial.verified([*trial.calls, *KEYS])


# NW-10: the worker dies


def killed(trial, callback, hop):
    """Open ``callback`` in a process that is killed, without a chance to do anything, once ``hop`` was asked."""
    child, forked = [], threading.Event()

    def kill(connection):
        forked.wait(5)
        os.kill(child[0], signal.SIGKILL)

    setattr(trial.operator, hop, lambda operator, received: kill)
    connections.close_all()  # no process may share them
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            trial.visitor.client.get(callback)
        os._exit(0)
    child.append(pid)
    forked.set()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    setattr(trial.operator, hop, HONEST[hop])


def told_to_exit(trial, callback, hop):
    """Open ``callback`` in a worker that its master tells to exit, as gunicorn does, once ``hop`` was asked."""

    def leave(number, frame):
        raise SystemExit(1)

    def tell(connection):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.2)

    setattr(trial.operator, hop, lambda operator, received: tell)
    before = signal.signal(signal.SIGUSR1, leave)
    with pytest.raises(SystemExit):
        trial.visitor.client.get(callback)
    signal.signal(signal.SIGUSR1, before)
    setattr(trial.operator, hop, HONEST[hop])


def check_still_open(trial, callback):
    """See that the attempt whose worker died is on record as unfinished, and that nobody can finish it."""
    row = VerificationAttempt.objects.get()
    asked = len(trial.operator.received)
    assert (row.outcome, row.reason, row.sealed, row.claimed_at is None) == ("pending", "", "", False)
    answer = trial.visitor.client.get(callback)
    assert answer.status_code in REPLAYED
    assert NOT_OPEN in answer.content.decode()
    assert len(trial.operator.received) == asked
    assert trial.visitor.user_id is None


def let_time_pass():
    """Move every attempt as far into the past as a reaper waits for."""
    VerificationAttempt.objects.update(expires_at=timezone.now() - datetime.timedelta(minutes=2))


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("hop", ["token", "verify"])
@pytest.mark.parametrize("die", [killed, told_to_exit])
def test_nw_10_attempt_whose_worker_died_is_ended_by_pruning(trial, die, hop):
    callback = trial.begin()
    die(trial, callback, hop)
    check_still_open(trial, callback)
    call_command("numverify_prune", stdout=io.StringIO())
    check_still_open(trial, callback)  # it is too early
    let_time_pass()
    call_command("numverify_prune", stdout=io.StringIO())

    trial.refused("expired", calls=HOPS[: HOPS.index(hop) + 1])


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("hop", ["token", "verify"])
@pytest.mark.parametrize("die", [killed, told_to_exit])
def test_nw_10_attempt_whose_worker_died_is_ended_by_the_next_start_which_works(trial, die, hop):
    callback = trial.begin()
    die(trial, callback, hop)
    check_still_open(trial, callback)
    let_time_pass()
    trial.log_in()
    spent = HOPS[: HOPS.index(hop) + 1]

    trial.refused("expired", calls=spent)
    knows_keys = hop == "verify" and die is told_to_exit  # what a killed process learned died with it
    trial.verified([*spent, *(AGAIN if knows_keys else WHOLE[1:])])


# NW-11: connections that end


@pytest.mark.parametrize(
    ("hop", "end"),
    [
        *((hop, "close") for hop in HOPS),
        *((hop, end) for hop in ("token", "verify") for end in ("reset", "half close")),
    ],
)
def test_nw_11_request_that_is_dropped_is_not_sent_again(trial, hop, end):
    """From discovery on, the requests come by a connection that was kept."""

    def drop(connection):
        if end == "reset":
            reset(connection)
        elif end == "half close":
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65_536)  # until the client closes its half

    calls = faulty(trial, hop, lambda operator, received: drop)

    trial.refused("operator_unavailable", calls)


@pytest.mark.parametrize("hop", ["token", "verify"])
@pytest.mark.parametrize("end", ["close", "reset", "half close"])
def test_nw_11_connection_that_ends_before_the_request_is_not_tried_again(trial, hop, end):
    def greet(connection):
        greeted.append(connection)
        if end == "reset":
            reset(connection)
        elif end == "half close":
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65_536)

    def begin():
        trial.operator.greet = greet

    greeted = []
    page = before(trial, hop, begin)

    assert UNFINISHED in page.content.decode()
    assert len(greeted) == 1
    trial.refused("operator_unavailable", calls=HOPS[: HOPS.index(hop)])


def test_nw_11_connection_that_is_reset_as_it_opens_is_operator_unavailable(trial):
    """The reset may come before connecting has ended, or after: some of four meet each."""
    trial.operator.greet = reset
    for _ in range(4):
        start_in_vain(trial)
        trial.refused("operator_unavailable")


@pytest.mark.parametrize("code", [errno.ECONNRESET, errno.EPIPE, errno.EPROTOTYPE, errno.EHOSTUNREACH])
@pytest.mark.parametrize("hop", ["discovery", "token"])
def test_nw_11_connection_that_cannot_be_opened_is_operator_unavailable(trial, hop, code, monkeypatch):
    """What urllib3 forgives while a request is sent, because an answer may be there already, it forgives here too."""

    def connect(opened, address):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        page = before(trial, hop, lambda: patched.setattr(socket.socket, "connect", connect))

    assert UNFINISHED in page.content.decode()
    trial.refused("operator_unavailable", calls=HOPS[: HOPS.index(hop)])


@pytest.mark.parametrize("end", ["close", "half close", "unasked"])
def test_nw_11_kept_connection_that_ended_at_rest_is_replaced(trial, end):
    def at_rest(operator, received):
        def serve(connection):
            connection.sendall(HONEST["discovery"](operator, received).encode())
            if end == "half close":
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65_536)
            elif end == "unasked":
                connection.sendall(Reply({"error": "timeout"}, 408).encode())

        return serve

    trial.operator.discovery = at_rest
    callback = trial.begin()
    time.sleep(0.05)  # until the end has crossed the loopback
    trial.come_back(callback)

    trial.verified(WHOLE)


def test_nw_11_operator_that_keeps_no_connection_is_asked_once_each(trial):
    def closing(hop):
        return lambda operator, received: Reply(HONEST[hop](operator, received).body, headers={"Connection": "close"})

    for hop in HOPS:
        setattr(trial.operator, hop, closing(hop))
    trial.log_in()

    trial.verified(WHOLE)


# Framing that is odd and still says where the answer ends


def framed(make):
    """Return a token endpoint that sends what ``make`` makes of the honest answer's body."""
    return lambda operator, received: make(Reply(operator.token_body(received)).encode().partition(b"\r\n\r\n")[2])


def in_chunks(body, *headers, trailer=b"", extension=b""):
    """Return a chunked answer."""
    head = OK + b"Transfer-Encoding: chunked\r\n" + b"".join(header + b"\r\n" for header in headers)
    return head + b"\r\n%x%s\r\n%s\r\n0\r\n%s\r\n" % (len(body), extension, body, trailer)


def sized(body, *headers, head=OK):
    """Return an answer with its length."""
    return head + b"".join(header + b"\r\n" for header in headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


FRAMES = {
    "a length beside the chunks": lambda body: in_chunks(body, b"Content-Length: 3"),
    "an extension with a quoted semicolon": lambda body: in_chunks(body, extension=b';a="b;c"'),
    "trailers that say something else": lambda body: in_chunks(
        body, trailer=b"Content-Type: text/html\r\nContent-Encoding: gzip\r\nSet-Cookie: a=b\r\nContent-Length: 1\r\n"
    ),
    "two equal lengths": lambda body: sized(body, b"Content-Length: %d" % len(body)),
    "HTTP/1.0 that is kept": lambda body: sized(body, b"Connection: keep-alive").replace(b"/1.1", b"/1.0", 1),
    "no reason": lambda body: sized(body).replace(b" OK", b"", 1),
    "line feeds alone": lambda body: (
        sized(b"", head=OK.replace(b"\r", b"")).replace(
            b"Content-Length: 0\r\n\r\n", b"Content-Length: %d\n\n" % len(body)
        )
        + body
    ),
}


# Which the parser of aiohttp refuses: how long the body is stands there twice.
TWICE = ["a length beside the chunks", "trailers that say something else", "two equal lengths"]
AMBIGUOUS = [FRAMES[name] for name in TWICE]


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_answer_in_an_odd_frame_is_read_once_and_the_next_one_is_its_own(trial, make):
    trial.operator.token = framed(make)
    trial.log_in()

    is_refused = IN_LOOP and make in AMBIGUOUS
    trial.refused("operator_unavailable", calls=WHOLE[:2]) if is_refused else trial.verified(WHOLE)


def test_type_that_goes_on_in_the_next_line_is_another_type(trial):
    folded = OK.replace(b"application/json", b"text/html\r\n application/json")
    trial.operator.token = framed(lambda body: sized(body, head=folded))
    trial.log_in()

    trial.refused("token_invalid", calls=WHOLE[:2])


@pytest.mark.parametrize(
    ("status", "reason"), [(413, "token_refused"), (401, "misconfigured"), (503, "operator_unavailable")]
)
def test_answer_before_the_request_is_taken_by_its_status_and_nothing_is_sent_again(trial, status, reason):
    greeted = []

    def greet(connection):
        greeted.append(connection)
        connection.sendall(Reply({}, status, {"WWW-Authenticate": "Basic", "Retry-After": "0"}).encode())
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65_536)

    def begin():
        trial.operator.greet = greet

    before(trial, "token", begin)

    assert len(greeted) == 1
    trial.refused(reason, calls=["discovery"])


# Heads that cost more than they weigh

STUMBLING = b"Content-Type: multipart/mixed; boundary*=x; boundary*0=y"
QUADRATIC = b'Content-Type: multipart/mixed;"'  # how many quotes are there before each semicolon?
HEADS = {
    "a parameter that is in parts and is not": STUMBLING,
    "one long line": QUADRATIC + b";" * 65_000,
    "one line in many": QUADRATIC + (b";" * 8_000 + b"\r\n ") * 25,
    "the longest that is read": QUADRATIC + b";" * 8_000,
}


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_nw_06_head_that_takes_long_to_understand_is_not_understood(trial, hop, head):
    data = b"HTTP/1.1 200 OK\r\n" + head + b"\r\nContent-Length: 2\r\n\r\n{}"
    calls = faulty(trial, hop, lambda operator, received: data)

    is_read = IN_LOOP and len(head) < 8_100  # by a parser that takes no time by the square of it
    refused_in_time(trial, calls) if is_read else trial.refused("operator_unavailable", calls)


def refused_in_time(trial, calls):
    """Expect a refusal for whatever reason: what was read is an answer with nothing in it."""
    trial.refused(VerificationAttempt.objects.latest("pk").reason, calls)
