"""The OpenID provider: Authlib's authorization server with what a mobile operator adds to it."""

import time
from collections.abc import Mapping
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import ClientMixin, InvalidRequestError, InvalidScopeError, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import OpenIDCode
from flask import Flask, Request, Response, g, request
from joserfc.jwk import RSAKey

from . import scopes
from .clients import CLIENTS, KEY_METHOD, SECRET_METHODS, Client, ClientAssertion, methods_tried
from .granted import AccessToken, Code, Subscriber
from .memory import TOKEN_LIFETIME, memory

TELEFONICA_PREFIX = "/apigateway/"


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """The authorization code grant; a code is spent by the first attempt, successful or not."""

    TOKEN_ENDPOINT_AUTH_METHODS = [*SECRET_METHODS, KEY_METHOD]

    @staticmethod
    def validate_authorization_redirect_uri(request: OAuth2Request, client: Client) -> str:
        """Return the redirect URI; the error does not repeat it."""
        redirect_uri: str = request.payload.redirect_uri or ""
        if not client.check_redirect_uri(redirect_uri):
            raise InvalidRequestError("redirect_uri must be an http or https address on this machine.")
        return redirect_uri

    def validate_requested_scope(self) -> None:
        """Raise InvalidScopeError unless the scope has exactly one purpose and nothing unknown."""
        reason = scopes.fault_in(self.request.payload.scope)
        if reason:
            raise InvalidScopeError(reason)

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Keep what ``code`` stands for."""
        asked = request.payload.data
        meaning = Code(
            client_id=request.client.client_id,
            redirect_uri=request.payload.redirect_uri,
            scope=request.scope,
            subscriber=request.user,
            nonce=asked.get("nonce"),
            code_challenge=asked.get("code_challenge"),
            code_challenge_method=asked.get("code_challenge_method"),
            auth_time=int(time.time()),
        )
        memory.codes.put(code, meaning)
        memory.nonces.put((meaning.client_id, meaning.nonce), True)

    def authenticate_token_endpoint_client(self) -> ClientMixin:
        """Return the client, or raise; RFC 6749 section 2.3 allows one way of authenticating per request."""
        if len(methods_tried(self.request.headers, self.request.form)) > 1:
            raise InvalidRequestError("The client authenticates in more than one way.")
        return super().authenticate_token_endpoint_client()

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """Return what ``code`` stands for and forget it; None for another client's."""
        meaning = memory.codes.take(code)
        return meaning if meaning and meaning.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Do nothing: reading the code has spent it."""

    def authenticate_user(self, authorization_code: Code) -> Subscriber:
        """Return the subscriber that the code is about."""
        return authorization_code.subscriber


class S256Challenge(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    """PKCE as the client wishes, but never ``plain`` (RFC 9700 section 2.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        """Raise InvalidRequestError for a challenge that is not S256; RFC 7636 takes a missing method for plain."""
        asked = grant.request.payload.data
        if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code_challenge_method must be S256.")
        super().validate_code_challenge(grant, redirect_uri)


class IdToken(OpenIDCode):  # type: ignore[misc]  # Authlib has no types
    """The ID token, given where the scope has ``openid``."""

    DEFAULT_EXPIRES_IN = TOKEN_LIFETIME

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        """Tell whether this client has already got a code with this nonce."""
        return (request.payload.client_id, nonce) in memory.nonces

    def resolve_client_private_key(self, client: Client) -> RSAKey:
        """Return the operator's present signing key."""
        return memory.keys.signing

    def get_encode_header(self, client: Client) -> dict[str, Any]:
        """Return the JOSE header with the key's name."""
        return {"alg": self.get_client_algorithm(client), "kid": memory.keys.signing.kid}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        """Return the issuer; Authlib adds the audience and the times."""
        return {"iss": memory.issuer}

    def get_authorization_code_claims(self, authorization_code: Code) -> dict[str, Any]:
        """Return nonce, auth_time and the subscriber's opaque name."""
        claims = super().get_authorization_code_claims(authorization_code)
        return {**claims, "sub": authorization_code.subscriber.subject_for(authorization_code.client_id)}

    def generate_user_info(self, user: Subscriber, scope: str) -> dict[str, Any]:
        """Return nothing more about the subscriber."""
        return {}


class ResponseIssuer(IssuerParameter):  # type: ignore[misc]  # Authlib has no types
    """``iss`` in every authorization response, errors included (RFC 9207)."""

    def get_issuer(self) -> str:
        """Return the issuer."""
        return memory.issuer


class Provider(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """The server; under /apigateway/ its errors have Telefonica's body."""

    def init_app(self, app: Flask, **options: Any) -> None:
        """Serve the code grant on ``app``."""
        super().init_app(app, query_client=CLIENTS.get, save_token=_save_token)
        self.register_client_auth_method(KEY_METHOD, ClientAssertion())
        self.register_grant(CodeGrant, [IdToken(), S256Challenge()])

    def handle_response(
        self, status_code: int, payload: dict[str, Any] | str, headers: list[tuple[str, str]]
    ) -> Response:
        """Return the answer, never cached, with the issuer in a redirect's address."""
        response: Response = super().handle_response(status_code, payload, headers)
        response.headers["Cache-Control"] = "no-store"
        ResponseIssuer().add_issuer_parameter(self, response)
        return response

    def handle_error_response(self, request: Request | OAuth2Request, error: OAuth2Error) -> Response:
        """Return the error as the path's dialect spells it, and tell the log."""
        g.note = error.error
        status, body, headers = error(None)
        if status != 302 and is_telefonica():
            body = {"code": status, "message": f"{error.error}: {error.get_error_description()}"}
        return self.handle_response(status, body, headers)


def is_telefonica() -> bool:
    """Tell whether this request came in under Telefonica's gateway."""
    return request.path.startswith(TELEFONICA_PREFIX)


def oauth_error(code: str, status: int = 400, **values: Any) -> OAuth2Error:
    """Return the OAuth error ``code``, to raise or to answer."""
    return OAuth2Error("The sandbox was told to answer so.", error=code, status_code=status, **values)


def _save_token(token: Mapping[str, Any], request: OAuth2Request) -> None:
    memory.tokens.put(token["access_token"], AccessToken(scopes.parse(token["scope"]).scopes, request.user))
