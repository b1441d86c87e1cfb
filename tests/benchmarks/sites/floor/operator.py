"""Two calls on one pooled session with one TLS context, and the ID token's checks with a key that is kept."""

import os
import ssl

import jwt
import requests
from django.core.exceptions import PermissionDenied
from requests.adapters import HTTPAdapter

from ..common import CLIENT_ID, CLIENT_SECRET, ISSUER, VERIFY_URL

keys = {}  # by their IDs


class OneContext(HTTPAdapter):
    """Certificates are verified by one context, and the bundle is loaded once."""

    def init_poolmanager(self, *args, **kwargs):
        """Make it."""
        context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
        super().init_poolmanager(*args, **kwargs, ssl_context=context)

    def build_connection_pool_key_attributes(self, request, verify, cert=None):
        """Name the host alone."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}

    def cert_verify(self, conn, url, verify, cert):
        """Load nothing."""


session = requests.Session()
session.trust_env = False
session.mount("https://", OneContext(pool_maxsize=64))


def exchange(code, verifier, nonce, redirect_uri):
    """Return the access token for ``code``, once the ID token that came with it is valid."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
    answer = session.post(f"{ISSUER}/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET), timeout=10)
    answer.raise_for_status()
    body = answer.json()
    required = ["iss", "aud", "exp", "iat", "sub", "nonce"]
    claims = jwt.decode(
        body["id_token"],
        _key(jwt.get_unverified_header(body["id_token"])["kid"]),
        algorithms=["RS256"],
        audience=CLIENT_ID,
        issuer=ISSUER,
        options={"require": required},
    )
    if claims["nonce"] != nonce:
        raise PermissionDenied
    return body["access_token"]


def _key(kid):
    if kid not in keys:
        fetched = session.get(f"{ISSUER}/jwks", timeout=10).json()["keys"]
        keys.update((found["kid"], jwt.PyJWK(found, "RS256")) for found in fetched)
    return keys[kid]


def verify(token, number):
    """Tell whether ``number`` is the SIM's."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = session.post(VERIFY_URL, json={"phoneNumber": number}, headers=headers, timeout=10)
    answer.raise_for_status()
    return answer.json()["devicePhoneNumberVerified"] is True
