"""An operator that costs little: OpenID Connect and the verify call, over TLS and HTTP/1.1 that are written out here.

Run as a process it prints the ports it listens on, and ends when its standard input does::

    python -m tests.benchmarks.operator --folder CERTIFICATES --issuer https://127.0.0.1:PORT

What the sites ask comes by TLS. Phones come by a plain port, where they say themselves which SIM they have (``X-SIM``),
and so does the benchmark: ``GET /counts``, and ``POST /close`` for closing the connections that wait for a request.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import secrets
import ssl
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "benchmark", "benchmark-secret"
REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 404: "Not Found"}
KEY_ID = "one"
FAREWELL = 0.02  # seconds


class Refused(Exception):
    """A request that no honest client makes; its text is the answer's."""


class Asked(NamedTuple):
    """One HTTP request."""

    method: str
    path: str
    query: dict  # name -> first value
    headers: dict  # by lower-case name
    body: bytes

    @property
    def form(self):
        """The body as a form: name -> first value."""
        return _first_values(self.body.decode())


class Answer(NamedTuple):
    """One HTTP response."""

    status: int
    body: bytes = b""
    headers: tuple = ()

    def encode(self):
        """Return it as bytes."""
        fixed = (("Content-Type", "application/json"), ("Content-Length", str(len(self.body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in (*fixed, *self.headers))
        return f"HTTP/1.1 {self.status} {REASONS[self.status]}\r\n{head}\r\n".encode() + self.body


def _json(value, *headers):
    return Answer(200, json.dumps(value).encode(), headers)


def _first_values(text):
    return {name: values[0] for name, values in parse_qs(text).items()}


class Operator:
    """What the operator knows. Each method named in a route returns the Answer to an Asked."""

    def __init__(self, issuer):
        self.issuer = issuer
        self.counts = Counter()
        self.connections = set()
        self._key = rsa.generate_private_key(65537, 2048)
        self._codes, self._tokens = {}, {}
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self._keys = _json({"keys": [public | {"kid": KEY_ID, "use": "sig", "alg": "RS256"}]})
        self.for_sites = {
            ("GET", "/.well-known/openid-configuration"): self.discovery,
            ("GET", "/jwks"): self.jwks,
            ("GET", "/jwks-and-close"): self.jwks_and_close,
            ("POST", "/token"): self.token,
            ("GET", "/userinfo"): self.userinfo,
            ("POST", "/v1/number-verification/verify"): self.verify,
        }
        self.for_phones = {
            ("GET", "/authorize"): self.authorize,
            ("GET", "/counts"): self.tell_counts,
            ("POST", "/close"): self.close_idle,
        }

    def discovery(self, asked):
        """Answer OIDC Discovery 4.2."""
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        return _json(
            {
                "issuer": self.issuer,
                **{name: f"{self.issuer}/{path}" for name, path in places.items()},
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def jwks(self, asked):
        """Answer the public key."""
        return self._keys

    def jwks_and_close(self, asked):
        """Answer the public key, and end the connection: the next request needs another one."""
        return self._keys._replace(headers=(("Connection", "close"),))

    def authorize(self, asked):
        """Send the phone back at once, with a code for its SIM."""
        query, code = asked.query, secrets.token_urlsafe(24)
        if query["client_id"] != CLIENT_ID:
            raise Refused("unknown client")
        self._codes[code] = query | {"number": asked.headers["x-sim"]}
        target = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        return Answer(302, headers=(("Location", target),))

    def token(self, asked):
        """Spend a code, once, for the client that it was given to."""
        form = asked.form
        known = self._codes.pop(form.get("code"), None)
        if known is None or known["redirect_uri"] != form.get("redirect_uri"):
            raise Refused("invalid_grant")
        if _credentials(asked) != (CLIENT_ID, CLIENT_SECRET) or not _proves(form, known):
            raise Refused("invalid_client")
        token = secrets.token_urlsafe(24)
        self._tokens[token] = known["number"]
        body = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "id_token": self._id_token(known)}
        return _json(body)

    def _id_token(self, known):
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": f"sim-{known['number']}",
            "iat": now,
            "exp": now + 300,
        }
        claims |= {"nonce": known["nonce"]} if "nonce" in known else {}
        return jwt.encode(claims, self._key, "RS256", {"kid": KEY_ID})

    def userinfo(self, asked):
        """Tell who an access token is of."""
        number = self._tokens.get(_bearer(asked))
        if number is None:
            raise Refused("invalid_token")
        return _json({"sub": f"sim-{number}", "preferred_username": number.removeprefix("+")})

    def verify(self, asked):
        """Tell whether the number is the SIM's; the token is spent."""
        number = self._tokens.pop(_bearer(asked), None)
        if number is None:
            raise Refused("UNAUTHENTICATED")
        return _json({"devicePhoneNumberVerified": json.loads(asked.body)["phoneNumber"] == number})

    def tell_counts(self, asked):
        """Answer what was counted since the start."""
        return _json(self.counts)

    def close_idle(self, asked):
        """Close what waits for a request."""
        idle = [connection for connection in self.connections if connection.is_idle]
        for connection in idle:
            connection.close()
        return _json({"closed": len(idle)})


def _credentials(asked):
    """Return the client's name and secret: from the Authorization header, or from the form."""
    scheme, _, value = asked.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        return tuple(base64.b64decode(value).decode().split(":", 1))
    return asked.form.get("client_id"), asked.form.get("client_secret")


def _proves(form, known):
    """Tell whether the code's challenge, where it has one, is answered (RFC 7636 4.6)."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return known.get("code_challenge", expected) == expected


def _bearer(asked):
    return asked.headers.get("authorization", "").removeprefix("Bearer ")


class Connection(asyncio.Protocol):
    """One connection: requests are answered in their order, at once."""

    def __init__(self, operator, routes, *, is_site=False):
        self._operator, self._routes, self._is_site = operator, routes, is_site
        self._received = b""

    def connection_made(self, transport):
        """Count it: a connection by TLS is made once the handshake is over."""
        self._transport = transport
        if self._is_site:
            self._operator.connections.add(self)
            self._operator.counts["connections"] += 1
            resumed = transport.get_extra_info("ssl_object").session_reused
            self._operator.counts["resumed handshakes" if resumed else "full handshakes"] += 1

    def connection_lost(self, error):
        """Forget it."""
        self._operator.connections.discard(self)

    def data_received(self, data):
        """Answer what is whole."""
        self._received += data
        while found := take(self._received):
            asked, self._received = found
            self._answer(asked)

    @property
    def is_idle(self):
        """Whether no part of a request has come."""
        return not self._received

    def close(self):
        """End it, as a gateway does whose patience is over: TLS first, and TCP without waiting for an answer."""
        self._transport.close()
        asyncio.get_running_loop().call_later(FAREWELL, self._transport.abort)

    def _answer(self, asked):
        route = self._routes.get((asked.method, asked.path))
        if self._is_site:
            self._operator.counts[asked.path.rpartition("/")[2]] += 1
        try:
            answer = route(asked) if route else Answer(404)
        except (Refused, KeyError) as error:
            answer = Answer(400, json.dumps({"error": str(error), "code": str(error)}).encode())
        self._transport.write(answer.encode())
        if ("Connection", "close") in answer.headers:
            self.close()


def take(received):
    """Return the first Asked in ``received`` (bytes) and what follows it, or None while it is not whole."""
    head, end, rest = received.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", 0))
    if len(rest) < length:
        return None
    method, target, _ = first.split(" ")
    parts = urlsplit(target)
    return Asked(method, parts.path, _first_values(parts.query), headers, rest[:length]), rest[length:]


async def serve(issuer, folder):
    """Serve until standard input ends; the first line printed has the ports for sites and for phones."""
    operator, loop = Operator(issuer), asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "operator.pem")
    sites = await loop.create_server(
        lambda: Connection(operator, operator.for_sites, is_site=True), "127.0.0.1", 0, ssl=context, backlog=512
    )
    phones = await loop.create_server(lambda: Connection(operator, operator.for_phones), "127.0.0.1", 0, backlog=512)
    ports = (server.sockets[0].getsockname()[1] for server in (sites, phones))
    sys.stdout.write(f"{' '.join(map(str, ports))}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.issuer, options.folder))
