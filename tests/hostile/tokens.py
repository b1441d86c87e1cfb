"""ID tokens, honest and not, signed by hand: no library decides what may be made."""

import base64
import hashlib
import hmac
import json
import time
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256


def encode(data):
    """Return ``data`` (bytes, or anything JSON) in base64url without padding."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@cache
def rsa_key(name, bits=2048):
    """Return the RSA key called ``name``: the same at every call."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name, curve=ec.SECP256R1):
    """Return the EC key called ``name``: the same at every call."""
    return ec.generate_private_key(curve())


def claims(*, iss, aud, nonce):
    """Return an honest ID token's claims, issued now."""
    now = int(time.time())
    return {"iss": iss, "aud": aud, "nonce": nonce, "sub": "subscriber-1", "iat": now, "exp": now + 300}


def sign(header, payload, key):
    """Return a compact JWS: ``key`` is a private key, bytes for an HMAC, None for an empty signature, or a function."""
    signing_input = f"{encode(header)}.{encode(payload)}"
    return f"{signing_input}.{encode(_signature(signing_input.encode(), header.get('alg'), key))}"


def _signature(data, alg, key):
    if key is None:
        return b""
    if callable(key):
        return key(data)
    if isinstance(key, bytes):
        return hmac.digest(key, data, hashlib.sha256)
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(SHA256()), SHA256().digest_size)
        return key.sign(data, pss if alg == "PS256" else padding.PKCS1v15(), SHA256())
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
    size = (key.key_size + 7) // 8
    return r.to_bytes(size) + s.to_bytes(size)


def jwk(key, kid, **members):
    """Return the public half of ``key`` as a JWK; a member that is ... is left out."""
    public = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        found = {"kty": "RSA", "n": encode(_bytes(public.n)), "e": encode(_bytes(public.e))}
    else:
        size = (key.key_size + 7) // 8
        curve = {256: "P-256", 384: "P-384", 521: "P-521"}[key.key_size]
        found = {"kty": "EC", "crv": curve, "x": encode(public.x.to_bytes(size)), "y": encode(public.y.to_bytes(size))}
    found |= {"kid": kid, "use": "sig"} | members
    return {name: value for name, value in found.items() if value is not ...}


def at_hash(access_token):
    """Return the at_hash of an access token under a 256-bit algorithm."""
    return encode(hashlib.sha256(access_token.encode()).digest()[:16])


def basic_user(header):
    """Return the user name of a Basic authorization header."""
    return base64.b64decode(header.partition(" ")[2]).decode().partition(":")[0]


def _bytes(number):
    return number.to_bytes((number.bit_length() + 7) // 8)
