"""Signatures: the caller pins the algorithm, and every error of PyJWT becomes one of ours."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from .exceptions import IdTokenInvalid, Misconfigured, ResponseInvalid
from .messages import parse_object

ID_TOKEN_MAX = 16_384  # characters
COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")  # RFC 7515 2: no padding, which PyJWT takes
KEYS_MAX = 100
RSA_MIN_BITS = 2048
RSA_EXPONENT_MAX = 2**32  # 65537 is usual; one as long as the modulus makes each check take a thousand times as long
SIGNER = jwt.PyJWT({"enforce_minimum_key_length": True})
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}  # RFC 7518 6
KEY_TYPES: dict[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
VERIFIERS = {algorithm: jwt.PyJWS(algorithms=[algorithm]) for algorithm in KEY_TYPES}  # each knows no other


@dataclass(frozen=True, slots=True)
class KeySet:
    """An operator's published keys, as received (RFC 7517)."""

    keys: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    _loaded: dict[tuple[str | None, str], list[Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """Return the set in a JWKS document (a dict), or raise ResponseInvalid; one broken key spoils no other."""
        keys = document.get("keys")
        if not isinstance(keys, list) or len(keys) > KEYS_MAX:
            raise ResponseInvalid("the JWKS has no usable list of keys")
        return cls(tuple(key for key in keys if isinstance(key, dict)))

    def candidates(self, kid: str | None, algorithm: str) -> list[Any]:
        """Return PyJWT's keys that may verify ``algorithm``: by kid where there is one, by type, use and curve."""
        if (kid, algorithm) in self._loaded:
            return self._loaded[kid, algorithm]
        fitting = [key for key in self.keys if (kid is None or key.get("kid") == kid) and _fits(key, algorithm)]
        found = [loaded for key in fitting if (loaded := _load(key, algorithm))]
        if found:  # else it would grow with whatever is asked for
            self._loaded[kid, algorithm] = found
        return found


def read_kid(token: object, algorithm: str) -> str | None:
    """Return the token's ``kid`` or None, or raise IdTokenInvalid where its header is not one for ``algorithm``.

    PyJWT, which would read all of the token for that, reads the header again when it verifies.
    """
    if not isinstance(token, str) or len(token) > ID_TOKEN_MAX or not COMPACT.fullmatch(token):
        raise IdTokenInvalid("the ID token is not a compact JWS")
    encoded = token.partition(".")[0]
    try:
        header = parse_object(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except ValueError:
        raise IdTokenInvalid("the ID token's header cannot be read") from None
    if header.get("alg") != algorithm:
        raise IdTokenInvalid("the ID token is not signed with ID_TOKEN_ALG")
    if "crit" in header or "b64" in header:  # RFC 7515 4.1.11: we understand no extension
        raise IdTokenInvalid("the ID token's header demands an extension")
    if not isinstance(header.get("kid", ""), str):
        raise IdTokenInvalid("the ID token's header has a kid that is no text")
    return header.get("kid")


def verify(token: str, keys: Iterable[Any], algorithm: str) -> bytes:
    """Return the payload (bytes) that one of ``keys`` signed with ``algorithm``, or raise IdTokenInvalid."""
    for key in keys:
        try:
            payload: bytes = VERIFIERS[algorithm].decode(token, key, algorithms=[algorithm])
            return payload
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    raise IdTokenInvalid("the ID token's signature is not by a key of the operator")


def sign(claims: dict[str, Any], private_key: str, algorithm: str, key_id: str) -> str:
    """Return a signed JWT; ``private_key`` is PEM. Raises Misconfigured where the key does not fit the algorithm."""
    try:
        return SIGNER.encode(claims, private_key, algorithm=algorithm, headers={"kid": key_id})
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, NotImplementedError, AttributeError):
        # An AttributeError comes of a public key. The cause may quote the key: it is dropped.
        raise Misconfigured("PRIVATE_KEY does not fit ASSERTION_ALG") from None


def _fits(key: dict[str, Any], algorithm: str) -> bool:
    kty, curve = KEY_TYPES[algorithm]
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") == kty
        and key.get("crv") == curve
        and key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and key.get("alg", algorithm) == algorithm
        and PRIVATE_MEMBERS.isdisjoint(key)
    )


def _load(key: dict[str, Any], algorithm: str) -> Any:
    """Return PyJWT's key for a JWK, or None where it is broken, too short to trust, or too slow to use."""
    try:
        loaded = jwt.PyJWK(key, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return loaded if key["kty"] != "RSA" or _is_usual(loaded) else None


def _is_usual(rsa_key: RSAPublicKey) -> bool:
    return rsa_key.key_size >= RSA_MIN_BITS and rsa_key.public_numbers().e < RSA_EXPONENT_MAX
