"""A hostile operator on a socket: each endpoint is a function that a case replaces. It shares no code with the package.

An endpoint gets the operator and a Received, and returns a Reply, bytes to send as they are, or a function of the
connection that does to it what it likes.
"""

import json
import secrets
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from . import tokens

PATHS = {  # the path's last segment -> endpoint
    "openid-configuration": "discovery",
    "authorize": "authorize",
    "token": "token",
    "jwks": "jwks",
    "verify": "verify",
    "share": "share",
    "device-phone-number": "share",
}
HOPS = tuple(dict.fromkeys(PATHS.values()))


@dataclass(frozen=True)
class Received:
    """One request: ``raw`` is every byte of it, header names are lower-case."""

    hop: str
    method: str
    path: str
    headers: dict
    body: bytes
    raw: bytes

    @property
    def query(self):
        """The query's parameters."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    @property
    def form(self):
        """The body's parameters."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    @property
    def json(self):
        """The body's JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer; a ``body`` that is not bytes becomes JSON. ``length`` lies about it where it is given."""

    body: object = b""
    status: int = 200
    headers: dict = field(default_factory=dict)
    content_type: str | None = "application/json"
    length: int | None = None

    def encode(self):
        """Return the answer's bytes."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} Whatever"]
        lines += [f"Content-Type: {self.content_type}"] if self.content_type else []
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(body) if self.length is None else self.length}"]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Server:
    """A TCP server on a free loopback port that answers requests from a thread for each connection."""

    def __init__(self, context=None):
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        self.received, self.connections = [], []
        self._threads = []
        self._start(self._accept)

    def answer(self, received):
        """Return what an endpoint may return; the evil twin answers nothing of use."""
        return Reply({"error": "evil"})

    @property
    def hops(self):
        """The names of what was asked, oldest first, the browser's visit to /authorize left out."""
        return [received.hop for received in self.received if received.hop != "authorize"]

    def forget(self):
        """Forget what was asked so far."""
        self.received.clear()

    def close(self):
        """Close the listener and every connection, and wait for the threads."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(timeout=5)
        assert not any(thread.is_alive() for thread in self._threads)

    def hang_up(self):
        """Close every connection that is open."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _start(self, work, *args):
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection):
        with suppress(OSError), connection:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            while received := read(connection):
                self.received.append(received)
                answer = self.answer(received)
                if callable(answer):
                    answer(connection)
                    return
                connection.sendall(answer.encode() if isinstance(answer, Reply) else answer)


class Operator(Server):
    """An operator that is honest until a case replaces one of its endpoints; ``sim`` is the number in the phone."""

    def __init__(self, context=None):
        super().__init__(context)
        self.restore()

    def restore(self):
        """Be honest again, with an empty memory."""
        self.sim = "+34600000001"
        self.keys = {"key-1": tokens.rsa_key("first")}
        self.kid = "key-1"
        self.nonces = {}  # code -> nonce of its authorization request
        self.secrets = []  # everything secret that was sent, for the leak oracle
        for hop in HOPS:
            setattr(self, hop, HONEST[hop])

    def answer(self, received):
        """Return what the endpoint of this request returns."""
        return getattr(self, received.hop)(self, received) if received.hop in HOPS else Reply({}, 404)

    def secret(self, prefix):
        """Return a new random secret text, and remember it."""
        self.secrets.append(f"{prefix}-{secrets.token_urlsafe(24)}")
        return self.secrets[-1]

    def claims(self, received, **changed):
        """Return the honest ID token's claims for a token request; a claim changed to ... is left out."""
        asked = received.form
        given = tokens.claims(iss=self.url, aud=client_of(received), nonce=self.nonces[asked["code"]])
        return {name: value for name, value in (given | changed).items() if value is not ...}

    def id_token(self, received, header=None, key=None, **changed):
        """Return an ID token for the token request ``received``, some of its claims changed."""
        signed = tokens.sign(
            {"alg": "RS256", "kid": self.kid} | (header or {}),
            self.claims(received, **changed),
            key or self.keys[self.kid],
        )
        self.secrets.append(signed)
        return signed

    def token_body(self, received, **changed):
        """Return the honest token answer's body with some members changed; one changed to ... is left out."""
        given = {"access_token": self.secret("token"), "token_type": "Bearer", "expires_in": 300}
        if "id_token" not in changed:
            given["id_token"] = self.id_token(received)
        return {name: value for name, value in (given | changed).items() if value is not ...}


def client_of(received):
    """Return the client ID of a token request by client_secret_post, client_secret_basic or private_key_jwt."""
    return received.form.get("client_id") or tokens.basic_user(received.headers["authorization"])


def _discovery(operator, received):
    names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
    document = {name: f"{operator.url}/{path}" for name, path in names.items()}
    return Reply({"issuer": operator.url, "authorization_response_iss_parameter_supported": True, **document})


def _authorize(operator, received):
    asked = received.query
    code = operator.secret("code")
    operator.nonces[code] = asked["nonce"]
    answer = urlencode({"code": code, "state": asked["state"], "iss": operator.url})
    return Reply(status=302, headers={"Location": f"{asked['redirect_uri']}?{answer}"})


def _token(operator, received):
    return Reply(operator.token_body(received))


def _jwks(operator, received):
    return Reply({"keys": [tokens.jwk(key, kid) for kid, key in operator.keys.items()]})


def _verify(operator, received):
    return Reply({"devicePhoneNumberVerified": received.json["phoneNumber"] == operator.sim})


def _share(operator, received):
    return Reply({"phoneNumber": operator.sim})


HONEST = {
    "discovery": _discovery,
    "authorize": _authorize,
    "token": _token,
    "jwks": _jwks,
    "verify": _verify,
    "share": _share,
}


def read(connection):
    """Return the next Received of ``connection``, or None at its end."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        chunk = connection.recv(65_536)
        if not chunk:
            return None
        raw += chunk
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
    while len(body) < int(headers.get("content-length", 0)):
        chunk = connection.recv(65_536)
        body, raw = body + chunk, raw + chunk
    method, path, _ = line.split(" ")
    hop = PATHS.get(urlsplit(path).path.rstrip("/").rpartition("/")[2], path)
    return Received(hop, method, path, headers, body, raw)
