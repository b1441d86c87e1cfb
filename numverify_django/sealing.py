"""Secrets at rest: what is sealed opens only with a secret that the database does not hold."""

import base64
import hashlib
import hmac
import json
import uuid

from cryptography.fernet import Fernet, InvalidToken


def seal(secret, values):
    """Return ``values`` (a dict of JSON) encrypted under ``secret`` (str), as text."""
    return Fernet(_key(secret)).encrypt(json.dumps(values).encode()).decode()


def unseal(secret, sealed):
    """Return the dict in ``sealed``, or raise ValueError where ``secret`` is not the one it was sealed under."""
    try:
        return json.loads(Fernet(_key(secret)).decrypt(sealed))
    except InvalidToken as error:
        raise ValueError("sealed under another secret") from error


def digest(text, key="numverify_django"):
    """Return a keyed digest of ``text``, cut to the 122 bits that a UUID leaves free."""
    # With a version: MariaDB refuses half of the values that have none.
    return uuid.UUID(bytes=hmac.digest(key.encode(), text.encode(), "sha256")[:16], version=4)


def _key(secret):
    derived = hmac.new(b"numverify_django.seal", secret.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(derived)
