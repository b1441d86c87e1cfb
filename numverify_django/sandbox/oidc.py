"""The OpenID endpoints: discovery, jwks, authorize and token."""

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError
from flask import Blueprint, Response, g, jsonify, request

from .clients import ASSERTION_ALGS, KEY_METHOD, SECRET_METHODS
from .granted import Subscriber
from .keys import SIGNING_ALG
from .memory import memory
from .provider import Provider, oauth_error
from .scopes import KNOWN
from .state import CONSENT, WIFI

oidc = Blueprint("oidc", __name__)
server = Provider()

# With prompt=none the operator may not ask anybody anything (OIDC Core section 3.1.2.6).
REFUSALS = {WIFI: "login_required", CONSENT: "consent_required"}


@oidc.get("/.well-known/openid-configuration")
def discovery() -> Response:
    """Answer the provider's metadata (OIDC Discovery section 3, RFC 9207 section 3)."""
    issuer = memory.issuer
    return jsonify(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/authorize",
        token_endpoint=f"{issuer}/token",
        jwks_uri=f"{issuer}/jwks",
        scopes_supported=sorted(KNOWN),
        response_types_supported=["code"],
        response_modes_supported=["query"],
        grant_types_supported=["authorization_code"],
        subject_types_supported=["pairwise"],
        id_token_signing_alg_values_supported=[SIGNING_ALG],
        token_endpoint_auth_methods_supported=[*SECRET_METHODS, KEY_METHOD],
        token_endpoint_auth_signing_alg_values_supported=list(ASSERTION_ALGS),
        code_challenge_methods_supported=["S256"],
        prompt_values_supported=["none"],
        claims_supported=["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash"],
        authorization_response_iss_parameter_supported=True,
    )


@oidc.get("/jwks")
def jwks() -> Response:
    """Answer the key that ID tokens are signed with."""
    return jsonify(memory.keys.jwks())


@oidc.route("/authorize", methods=["GET", "POST"])
@oidc.route("/apigateway/authorize", methods=["GET", "POST"])
def authorize() -> Response:
    """Send the browser back with a code, or with the error that its SIM or a fault calls for."""
    subscriber = Subscriber(memory.store.state.sim)  # type: ignore[arg-type]  # None, which is Wi-Fi, is refused below
    try:
        grant = server.get_consent_grant(end_user=subscriber)
        code = _told_error() or REFUSALS.get(subscriber.sim)
        if code:
            raise oauth_error(code, redirect_uri=grant.redirect_uri, state=request.values.get("state"))
    except OAuth2Error as error:
        return server.handle_error_response(request, error)
    except ValueError:
        # Authlib raises it when the text of its own error would quote a character that OAuth forbids there.
        return server.handle_error_response(request, InvalidRequestError("A parameter has a forbidden character."))
    response: Response = server.create_authorization_response(grant_user=subscriber, grant=grant)
    return response


@oidc.post("/token")
@oidc.post("/apigateway/token")
def token() -> Response:
    """Exchange a code for tokens."""
    if code := _told_error():
        return server.handle_error_response(request, oauth_error(code, status=g.fault.status or 400))
    response: Response = server.create_token_response()
    return response


def _told_error() -> str | None:
    return g.fault.error if g.fault else None
