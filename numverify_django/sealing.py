"""Secrets at rest: what is sealed opens only with a secret that the database does not hold."""

import base64
import hmac
import json
import os
import uuid
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12  # bytes


def seal(secret: str, values: dict[str, Any]) -> str:
    """Return ``values`` (a dict of JSON) encrypted under ``secret`` (str), as text: AES-256-GCM (NIST SP 800-38D)."""
    nonce = os.urandom(NONCE)  # SECRET_KEY lasts, but a browser seals far less than what a random one is enough for
    return base64.b64encode(nonce + _cipher(secret).encrypt(nonce, json.dumps(values).encode(), None)).decode()


def unseal(secret: str, sealed: str) -> dict[str, Any]:
    """Return the dict in ``sealed``, or {} where another secret, or another version of ours, sealed it."""
    try:
        whole = base64.b64decode(sealed)
        values: dict[str, Any] = json.loads(_cipher(secret).decrypt(whole[:NONCE], whole[NONCE:], None))
    except (InvalidTag, ValueError):
        return {}
    return values


def digest(text: str, key: str = "numverify_django") -> uuid.UUID:
    """Return a keyed digest of ``text``, cut to the 122 bits that a UUID leaves free."""
    # With a version: MariaDB refuses half of the values that have none.
    return uuid.UUID(bytes=hmac.digest(key.encode(), text.encode(), "sha256")[:16], version=4)


def _cipher(secret: str) -> AESGCM:
    return AESGCM(hmac.digest(b"numverify_django.seal", secret.encode(), "sha256"))
