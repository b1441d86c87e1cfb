"""The operator's signing keys and the demo client's key, made at start and never written to disk."""

import secrets
from typing import Any, Unpack

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeyParameters, KeySetSerialization, RSAKey, import_key

SIGNING_ALG = "RS256"

AsymmetricKey = RSAKey | ECKey


class Keys:
    """The key that signs ID tokens, and the public key of the client that signs its requests."""

    def __init__(self) -> None:
        self._first = _new_key(alg=SIGNING_ALG)
        self.demo = _new_key()
        self.reset()

    def reset(self) -> None:
        """Go back to the keys of the start."""
        self.signing = self._first
        self.client = public_part(self.demo)

    def rotate(self) -> None:
        """Sign with a new key from now on and withdraw the old one from the JWKS."""
        self.signing = _new_key(alg=SIGNING_ALG)

    def jwks(self) -> KeySetSerialization:
        """Return the JWK Set of the public signing key (RFC 7517 section 5)."""
        return {"keys": [public_part(self.signing).as_dict(private=False)]}


def parse_public_key(value: Any) -> AsymmetricKey:
    """Return the RSA or EC public key in ``value``, a JWK or PEM text, or raise ValueError; a private half is cut."""
    readers = (import_key,) if isinstance(value, dict) else (RSAKey.import_key, ECKey.import_key)
    for read in readers:
        try:
            key = read(value)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, AsymmetricKey):
            return public_part(key)
    raise ValueError("client_key: an RSA or EC public key, as a JWK or as PEM text")


def public_part(key: AsymmetricKey) -> AsymmetricKey:
    """Return the same key without its private half."""
    return type(key).import_key(key.as_dict(private=False))


def _new_key(**parameters: Unpack[KeyParameters]) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": secrets.token_hex(8), "use": "sig", **parameters}, private=True)
