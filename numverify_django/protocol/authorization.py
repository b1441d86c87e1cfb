"""The authorization request and its response, a pure pair (RFC 6749 4.1, OIDC Core 3.1.2, RFC 7636, RFC 9207)."""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urlencode

from . import exceptions
from .messages import AuthorizationRequest, AuthorizationResponse, Metadata
from .phone import PhoneNumber
from .profiles import Operator

CODE = re.compile(r"[\x21-\x7e]{1,4096}")
ERRORS: dict[str, type[exceptions.NumberVerifyError]] = {
    "login_required": exceptions.NotOnMobileNetwork,
    "interaction_required": exceptions.NotOnMobileNetwork,
    "account_selection_required": exceptions.NotOnMobileNetwork,
    "consent_required": exceptions.ConsentRequired,
    "consent_denied": exceptions.ConsentRequired,  # Telefonica's spelling for a customer who opted out
    "access_denied": exceptions.AccessDenied,
    "server_error": exceptions.OperatorUnavailable,
    "temporarily_unavailable": exceptions.OperatorUnavailable,
    "invalid_request": exceptions.Misconfigured,
    "unauthorized_client": exceptions.Misconfigured,
    "unsupported_response_type": exceptions.Misconfigured,
    "invalid_scope": exceptions.Misconfigured,
}
HINTS: dict[str, Callable[[PhoneNumber], str]] = {
    "tel": lambda number: number.tel_uri,
    "plain": lambda number: number.e164,
}


def build_request(
    operator: Operator,
    metadata: Metadata,
    *,
    operation: str,
    number: PhoneNumber | None,
    redirect_uri: str,
    random: Callable[[int], str] = secrets.token_urlsafe,
) -> AuthorizationRequest:
    """Return the AuthorizationRequest for ``operation`` (``verify`` or ``share``).

    ``random`` returns that many random bytes as URL-safe text; state, nonce and verifier take 256 bits each.
    """
    state, nonce, verifier = random(32), random(32), random(32)
    params = {
        "response_type": "code",
        "client_id": operator.client_id,
        "redirect_uri": redirect_uri,
        "scope": operator.scope(operation),
        "state": state,
        "nonce": nonce,
        "prompt": "none",  # CAMARA: the person is never asked
    }
    if operator.pkce:
        params |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
    if number is not None and operator.login_hint in HINTS:
        params["login_hint"] = HINTS[operator.login_hint](number)
    url = metadata.authorization_endpoint
    joiner = "&" if "?" in url else "?"
    url = f"{url}{joiner}{urlencode(params, quote_via=quote)}"
    return AuthorizationRequest(url, state, nonce, verifier, redirect_uri)


def parse_response(
    params: Mapping[str, Sequence[str]], operator: Operator, metadata: Metadata
) -> AuthorizationResponse:
    """Return the AuthorizationResponse in ``params`` (name -> list of values), or raise the error it stands for."""
    if any(len(params.get(name, ())) > 1 for name in ("state", "code", "error", "iss")):
        raise exceptions.CallbackInvalid("a parameter is repeated")  # RFC 6749 3.1
    code, error, issuer = (next(iter(params.get(name, ())), None) for name in ("code", "error", "iss"))
    check_issuer(issuer, operator, metadata)
    if error is not None:
        if error not in ERRORS:
            raise exceptions.CallbackInvalid("the operator answered an error that is none of OpenID Connect's")
        raise ERRORS[error](f"the operator answered {error}")
    if code is None or not CODE.fullmatch(code):
        raise exceptions.CallbackInvalid("no usable code")
    return AuthorizationResponse(code, metadata)


def check_issuer(issuer: str | None, operator: Operator, metadata: Metadata) -> None:
    """Raise IssuerMismatch unless ``issuer`` is the operator's, by simple string comparison (RFC 9207 2.4)."""
    if issuer is None and not metadata.response_iss:
        return
    if issuer is None or issuer != operator.issuer:
        raise exceptions.IssuerMismatch


def challenge(verifier: str) -> str:
    """Return the S256 code challenge (RFC 7636 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
