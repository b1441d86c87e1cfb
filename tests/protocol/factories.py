"""Arrange: operators, answers, keys and ID tokens, and the operator's side of a conversation."""

import base64
import hashlib
import hmac
import json
from functools import cache

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256

from numverify_django.protocol.messages import Metadata, Response
from numverify_django.protocol.phone import PhoneNumber
from numverify_django.protocol.profiles import PROFILES, Operator

ISSUER = "https://operator.example"
CLIENT = "client-of-the-site"
SECRET = "the client secret: 5%&+"
CALLBACK = "https://site.example/numverify/callback/"
NUMBER = PhoneNumber("+34600000001")
TOKEN = "access-token-0123456789"
NONCE = "nonce-0123456789"
NOW = 1_800_000_000
KID = "key-1"


def operator(profile="telefonica", **keys):
    """Return an Operator on the profile's defaults; ``keys`` are fields."""
    dialect = PROFILES[profile]
    inherited = ("issuer", "authorization_endpoint", "token_endpoint", "api_root", "id_token", "prefixes", "login_hint")
    defaults = {name: getattr(dialect, name) for name in inherited}
    defaults["issuer"] = defaults["issuer"] or ISSUER
    defaults["api_root"] = defaults["api_root"] or f"{ISSUER}/api"
    named = {"name": "movil", "client_id": CLIENT, "client_secret": SECRET, "profile": dialect}
    return Operator(**(named | defaults | keys))


def metadata(**keys):
    """Return the Metadata of an operator at ISSUER."""
    defaults = {
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/jwks",
        "response_iss": False,
    }
    return Metadata(**(defaults | keys))


def answer(body=b"", status=200, content_type="application/json"):
    """Return a Response; a ``body`` that is not bytes becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {"content-type": content_type} if content_type else {}, content)


def discovery(**keys):
    """Return the answer with the metadata document of ISSUER."""
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    return answer({"issuer": ISSUER} | {name: getattr(metadata(), name) for name in names} | keys)


def refused(error, call, /, *args, **keys):
    """Return the exception of exactly the class ``error`` that the call raises."""
    with pytest.raises(error) as raised:
        call(*args, **keys)
    assert raised.type is error
    return raised.value


class Wire:
    """The operator's side: answers each hop from its list, the last one again and again, and records the requests."""

    def __init__(self, **answers):
        self.answers = {hop: list(given) if isinstance(given, list) else [given] for hop, given in answers.items()}
        self.requests = []

    @property
    def hops(self):
        """The names of what was asked, oldest first."""
        return [request.hop for request in self.requests]

    def carry(self, conversation):
        """Return what ``conversation`` returns; an answer that is an exception is thrown into it."""
        try:
            request = next(conversation)
            while True:
                self.requests.append(request)
                given = self.answers[request.hop]
                reply = given.pop(0) if len(given) > 1 else given[0]
                request = conversation.throw(reply) if isinstance(reply, Exception) else conversation.send(reply)
        except StopIteration as finished:
            return finished.value


class Clock:
    """Seconds that pass when told; and a little with every look, for no two moments are the same."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        self.now += 2**-20
        return self.now


def encode(data):
    """Return ``data`` (bytes, or anything JSON) in base64url without padding."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text):
    """Return the bytes in base64url ``text``."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


def private_key(algorithm="RS256", name="ours", bits=2048):
    """Return the private key called ``name`` for ``algorithm``: the same at every call."""
    return _made(algorithm, name, bits)


@cache
def _made(algorithm, name, bits):
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm]())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, bits)


def private_pem(key):
    """Return a private key as text."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_pem(key):
    """Return the public half of a private key as text."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def jwk(key, kid=KID, **members):
    """Return the public half of a private key as a JWK; a member that is None is left out."""
    found = {**_public_members(key.public_key()), "kid": kid, "use": "sig", **members}
    return {name: value for name, value in found.items() if value is not None}


def _public_members(public):
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": encode(_number(numbers.n)), "e": encode(_number(numbers.e))}
    if isinstance(public, ec.EllipticCurvePublicKey):
        numbers, size = public.public_numbers(), (public.key_size + 7) // 8
        curve = {256: "P-256", 384: "P-384", 521: "P-521"}[public.key_size]
        return {"kty": "EC", "crv": curve, "x": encode(numbers.x.to_bytes(size)), "y": encode(numbers.y.to_bytes(size))}
    return {"kty": "OKP", "crv": "Ed25519", "x": encode(public.public_bytes_raw())}


def _number(value):
    return value.to_bytes((value.bit_length() + 7) // 8)


def jwks(*keys):
    """Return the answer with a key set."""
    return answer({"keys": list(keys)}, content_type="application/jwk-set+json")


def at_hash(token=TOKEN, digest=hashlib.sha256):
    """Return the at_hash of an access token."""
    half = digest(token.encode()).digest()
    return encode(half[: len(half) // 2])


def claims(drop=(), **changed):
    """Return the claims of a good ID token with some changed or dropped."""
    good = {"iss": ISSUER, "sub": "opaque", "aud": CLIENT, "exp": NOW + 300, "iat": NOW, "nonce": NONCE}
    return {name: value for name, value in (good | changed).items() if name not in drop}


def id_token(payload=None, algorithm="RS256", key=None, **header):
    """Return a JWT of ``payload`` (the good claims by default), signed with our key for ``algorithm`` or ``key``."""
    key = key or private_key(algorithm)
    return jwt.encode(claims() if payload is None else payload, key, algorithm, headers={"kid": KID} | header)


def crafted(header, payload, sign):
    """Return a compact JWS made by hand; ``sign`` maps the signing input (bytes) to the signature (bytes)."""
    signed = f"{encode(header)}.{encode(payload)}"
    return f"{signed}.{encode(sign(signed.encode()))}"


def rs256(key):
    """Return a signer by hand: RSASSA-PKCS1-v1_5 with SHA-256, for keys and headers that PyJWT would not sign with."""
    return lambda data: key.sign(data, padding.PKCS1v15(), SHA256())


def es256(key):
    """Return a signer by hand: ECDSA with SHA-256, whatever the curve."""

    def sign(data):
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
        size = (key.key_size + 7) // 8
        return r.to_bytes(size) + s.to_bytes(size)

    return sign


def hs256(secret):
    """Return a signer by hand: HMAC with SHA-256."""
    return lambda data: hmac.digest(secret, data, "sha256")


def token_answer(**changed):
    """Return a good token response; a member that is None is left out."""
    body = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300, "id_token": id_token()} | changed
    return answer({name: value for name, value in body.items() if value is not None})
