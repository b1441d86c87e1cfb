"""The clients that the sandbox knows, and how they prove who they are at the token endpoint."""

import hmac
import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import request
from joserfc import jwt
from joserfc.errors import JoseError
from werkzeug.datastructures import Headers

from .keys import AsymmetricKey
from .memory import ASSERTION_LIFETIME, memory

ASSERTION_ALGS = ("RS256", "PS256", "ES256")
SECRET_METHODS = ("client_secret_basic", "client_secret_post")
KEY_METHOD = "private_key_jwt"


def is_loopback(host: str | None) -> bool:
    """Tell whether ``host`` is this machine, by address or as ``localhost``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A registered client. Any loopback address may be redirected to, whatever its port and path."""

    client_id: str
    client_secret: str = field(repr=False)
    methods: tuple[str, ...] = SECRET_METHODS

    def get_client_id(self) -> str:
        """Return the client's identifier."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """Return None: every request names its own."""

    def get_allowed_scope(self, scope: str) -> str:
        """Return ``scope``, which the server has already checked."""
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether ``redirect_uri`` leads back to this machine."""
        try:
            parts = urlsplit(redirect_uri)
            return (
                parts.scheme in ("http", "https")
                and is_loopback(parts.hostname)
                and parts.username is None
                and not parts.fragment
                and (parts.port is None or parts.port > 0)
            )
        except ValueError:
            return False

    def check_client_secret(self, client_secret: str) -> bool:
        """Tell whether this is the client's secret."""
        return hmac.compare_digest(client_secret.encode(), self.client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Tell whether the client may prove itself by ``method``."""
        return method in self.methods

    def check_response_type(self, response_type: str) -> bool:
        """Tell whether the client may ask for ``response_type``."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell whether the client may use ``grant_type``; there are no refresh tokens."""
        return grant_type == "authorization_code"


DEMO = Client("numverify-demo", "numverify-demo-secret", (*SECRET_METHODS, KEY_METHOD))  # what the console shows
CLIENTS = {
    client.client_id: client
    for client in (DEMO, Client("mock_sandbox_app_id", "mock_sandbox_app_secret"))  # Telefonica's own mock's
}


class ClientAssertion(JWTBearerClientAssertion):  # type: ignore[misc]  # Authlib has no types
    """``private_key_jwt`` (RFC 7523 section 3, OIDC Core section 9)."""

    CLIENT_AUTH_METHOD = KEY_METHOD

    def get_audiences(self) -> list[str]:
        """Return what ``aud`` may be: the endpoint that was called, or the issuer."""
        return [f"{memory.issuer}{request.path}", memory.issuer]

    def resolve_client_public_key(self, client: Client) -> AsymmetricKey:
        """Return the client's registered key."""
        if KEY_METHOD not in client.methods:
            raise InvalidClientError("The client has no registered key.")
        return memory.keys.client

    def process_assertion_claims(self, assertion: str, key: AsymmetricKey) -> dict[str, Any]:
        """Check the signature by one of our algorithms, the key's name and the claims."""
        try:
            token = jwt.decode(assertion, key, algorithms=ASSERTION_ALGS)
        except (JoseError, ValueError) as error:
            raise InvalidClientError("The assertion is not signed by the registered key.") from error
        if key.kid and token.header.get("kid", key.kid) != key.kid:
            raise InvalidClientError("The assertion's kid is not the registered key's.")
        self.verify_claims(token.claims)
        return token.claims

    def verify_claims(self, claims: dict[str, Any]) -> None:
        """Check iss, sub, aud, exp and jti as Authlib does, and that the assertion is short-lived."""
        super().verify_claims(claims)
        if claims["exp"] - claims.get("iat", time.time()) > ASSERTION_LIFETIME:
            raise InvalidClientError(f"The assertion lives longer than {ASSERTION_LIFETIME} seconds.")

    def validate_jti(self, claims: dict[str, Any], jti: object) -> bool:
        """Tell whether this client has not used ``jti`` before."""
        return memory.assertions.put((claims["sub"], str(jti)), True)


def methods_tried(headers: Headers, form: Mapping[str, str]) -> list[str]:
    """Return the names of the ways in which a token request tries to authenticate its client."""
    tried = {
        "client_secret_basic": headers.get("Authorization", "").lower().startswith("basic "),
        "client_secret_post": "client_secret" in form,
        KEY_METHOD: "client_assertion" in form,
    }
    return [method for method, is_tried in tried.items() if is_tried]
