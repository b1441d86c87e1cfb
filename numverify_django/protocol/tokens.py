"""The token request and its response, and the ID token by one small function per claim (OIDC Core 3.1.3)."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

from . import exceptions, jose
from .exceptions import IdTokenInvalid, NumberVerifyError, TokenInvalid
from .messages import AccessToken, Metadata, Request, Response, TokenSet, parse_object
from .profiles import Operator

BEARER = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}={0,2}")  # RFC 6750 2.1
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = 120  # seconds; CAMARA allows 300
LEEWAY = 60  # seconds between the operator's clock and ours
MAX_AGE = 600  # seconds since the ID token was issued
MAX_LIFETIME = 86_400  # seconds until the ID token ends
ERRORS: dict[str, type[NumberVerifyError]] = {
    "invalid_grant": exceptions.TokenRefused,
    "invalid_client": exceptions.Misconfigured,
    "invalid_request": exceptions.Misconfigured,
    "invalid_scope": exceptions.Misconfigured,
    "unauthorized_client": exceptions.Misconfigured,
    "unsupported_grant_type": exceptions.Misconfigured,
}
HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}

Random = Callable[[int], str]  # returns that many random bytes as text
Proof = tuple[dict[str, str], dict[str, str]]  # headers and form fields that say who we are


def token_request(
    operator: Operator,
    metadata: Metadata,
    *,
    code: str,
    verifier: str,
    redirect_uri: str,
    now: float,
    random: Random = secrets.token_urlsafe,
) -> Request:
    """Return the Request that spends ``code``; ``now`` is seconds since the epoch."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if operator.pkce:
        form["code_verifier"] = verifier
    authenticate = CLIENT_AUTH[operator.client_auth]
    headers, proof = authenticate(operator, metadata.token_endpoint, now, random)
    return Request(
        hop="token",
        method="POST",
        url=metadata.token_endpoint,
        headers={"content-type": "application/x-www-form-urlencoded", **headers},
        body=urlencode(form | proof).encode(),
    )


def _basic(operator: Operator, endpoint: str, now: float, random: Random) -> Proof:
    # RFC 6749 2.3.1: both are form-encoded before they are joined
    pair = f"{quote_plus(operator.client_id)}:{quote_plus(operator.client_secret)}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, {}


def _post(operator: Operator, endpoint: str, now: float, random: Random) -> Proof:
    return {}, {"client_id": operator.client_id, "client_secret": operator.client_secret}


def _private_key_jwt(operator: Operator, endpoint: str, now: float, random: Random) -> Proof:
    """RFC 7523 3; the audience is the URL called, unless the operator is set to want its issuer."""
    claims = {
        "iss": operator.client_id,
        "sub": operator.client_id,
        "aud": operator.issuer if operator.assertion_audience == "issuer" else endpoint,
        "jti": random(32),
        "iat": int(now),
        "exp": int(now) + ASSERTION_LIFETIME,
    }
    assertion = jose.sign(claims, operator.private_key, operator.assertion_alg, operator.key_id)
    return {}, {
        "client_id": operator.client_id,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }


CLIENT_AUTH = {"client_secret_basic": _basic, "client_secret_post": _post, "private_key_jwt": _private_key_jwt}


def parse_token_response(response: Response, operator: Operator, operation: str) -> TokenSet:
    """Return the TokenSet in ``response``, or raise the error it stands for (RFC 6749 5)."""
    if response.status != 200:
        raise _refusal(response)
    try:
        body = response.json_object()
    except ValueError as error:
        raise TokenInvalid("not a JSON object") from error
    if "error" in body:  # RFC 6749 5.2 knows it with 400 alone; some operators answer 200
        raise _refused(response.status, body["error"])
    _check_token_type(body)
    _check_expires_in(body)
    _check_scope(body, operator, operation)
    token = body.get("access_token")
    if not isinstance(token, str) or not BEARER.fullmatch(token):
        raise TokenInvalid("no usable access_token")
    return TokenSet(token, body.get("id_token"), "id_token" in body)


def _refusal(response: Response) -> NumberVerifyError:
    """Return the exception for a token response that is not 200; the operator's text is dropped."""
    if 300 <= response.status < 400:
        return exceptions.RedirectRefused()
    if response.status == 429:
        return exceptions.OperatorBusy()
    if response.status >= 500:
        return exceptions.OperatorUnavailable(f"the token endpoint answered {response.status}")
    if response.status < 300:
        return TokenInvalid("a success that is not 200")
    try:
        error = response.json_object().get("error")
    except ValueError:
        error = None
    return _refused(response.status, error)


def _refused(status: int, error: object) -> NumberVerifyError:
    """Return the exception for the ``error`` of a token response, whatever its type."""
    known = error if isinstance(error, str) and error in ERRORS else None
    # RFC 6749 5.2: a 401 is about the client, whatever its body
    otherwise = exceptions.Misconfigured if status == 401 else exceptions.TokenRefused
    kind = otherwise if known is None else ERRORS[known]
    advice = ": check the client's credentials and scopes" if kind is exceptions.Misconfigured else ""
    return kind(f"the token endpoint answered {status} {known or ''}".rstrip() + advice)


def _check_token_type(body: dict[str, Any]) -> None:
    kind = body.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":  # RFC 6749 5.1: case-insensitive
        raise TokenInvalid("token_type is not Bearer")


def _check_expires_in(body: dict[str, Any]) -> None:
    seconds = body.get("expires_in", 1)
    if type(seconds) not in (int, float) or not seconds > 0:
        raise TokenInvalid("expires_in is not a number of seconds to come")


def _check_scope(body: dict[str, Any], operator: Operator, operation: str) -> None:
    """A missing scope means the one asked for (RFC 6749 5.1); a narrower one would waste the paid call."""
    wanted = operator.operation_named(operation).scope
    granted = body.get("scope", operator.scope(operation))
    if not isinstance(granted, str):
        raise TokenInvalid("scope is not a string")
    asked = _scope_words(operator.scope(operation))
    if wanted in asked and wanted not in _scope_words(granted):
        raise exceptions.PermissionDenied("the token lacks the operation's scope")


def _scope_words(text: str) -> list[str]:
    return text.replace("#", " ").split()


def validate_id_token(payload: bytes, operator: Operator, *, nonce: str, access_token: str, now: float) -> AccessToken:
    """Return the AccessToken that the ID token's claims vouch for, or raise IdTokenInvalid (OIDC Core 3.1.3.7).

    ``payload`` is the verified JWS payload (bytes), ``nonce`` the request's, ``now`` seconds since the epoch.
    """
    try:
        claims = parse_object(payload)
    except ValueError as error:
        raise IdTokenInvalid("the claims are not a JSON object") from error
    _check_iss(claims, operator)
    _check_aud(claims, operator)
    _check_sub(claims)
    _check_times(claims, now)
    _check_nonce(claims, nonce)
    _check_at_hash(claims, operator, access_token)
    return AccessToken(access_token, f"{claims['iss']} {claims['sub']}")


def _check_iss(claims: dict[str, Any], operator: Operator) -> None:
    # OIDC Core 3.1.3.7 (2)
    if operator.issuer is None or claims.get("iss") != operator.issuer:
        raise IdTokenInvalid("iss is not the configured ISSUER")


def _check_aud(claims: dict[str, Any], operator: Operator) -> None:
    # OIDC Core 3.1.3.7 (3)-(5): ours alone, and azp, where there is one, is us
    if claims.get("aud") not in (operator.client_id, [operator.client_id]):
        raise IdTokenInvalid("aud is not this client alone")
    if "azp" in claims and claims["azp"] != operator.client_id:
        raise IdTokenInvalid("azp is another client")


def _check_sub(claims: dict[str, Any]) -> None:
    sub = claims.get("sub")
    if not isinstance(sub, str) or not 1 <= len(sub) <= 255:
        raise IdTokenInvalid("sub is missing")


def _check_times(claims: dict[str, Any], now: float) -> None:
    # OIDC Core 3.1.3.7 (9), (10)
    exp, iat, nbf = _time(claims, "exp"), _time(claims, "iat"), _time(claims, "nbf", now)
    if exp + LEEWAY <= now or exp > now + MAX_LIFETIME:
        raise IdTokenInvalid("exp is past, or more than a day ahead")
    if iat > now + LEEWAY or iat < now - MAX_AGE or nbf > now + LEEWAY:
        raise IdTokenInvalid("iat or nbf is in the future, or iat too old")


def _time(claims: dict[str, Any], name: str, default: float | None = None) -> float:
    value: Any = claims.get(name, default)
    if type(value) not in (int, float) or not 0 < value < 1e11:
        raise IdTokenInvalid(f"{name} is not a time")
    return value  # type: ignore[no-any-return]  # just looked at


def _check_nonce(claims: dict[str, Any], nonce: str) -> None:
    # OIDC Core 3.1.3.7 (11)
    sent = claims.get("nonce")
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
        raise IdTokenInvalid("nonce is not the request's")


def _check_at_hash(claims: dict[str, Any], operator: Operator, access_token: str) -> None:
    # OIDC Core 3.1.3.8: optional in the code flow, binding where present
    if "at_hash" not in claims:
        return
    digest = HASHES.get(operator.id_token_alg[-3:])
    if digest is None:
        raise IdTokenInvalid("at_hash cannot be checked under this algorithm")
    half = digest(access_token.encode()).digest()
    expected = base64.urlsafe_b64encode(half[: len(half) // 2]).rstrip(b"=").decode()
    if claims["at_hash"] != expected:
        raise IdTokenInvalid("at_hash is of another access token")
