"""The talk with an operator without any I/O: generators that yield a Request and are sent its Response.

Synchronous and asynchronous transports drive the same generators, so there is one body of logic.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from . import jose, tokens, verification
from .exceptions import (
    IdTokenInvalid,
    Misconfigured,
    NumberVerifyError,
    OperatorBusy,
    OperatorUnavailable,
    RedirectRefused,
    ResponseInvalid,
)
from .messages import AccessToken, AuthorizationResponse, Conversation, Metadata, Request, Response, Verification
from .phone import PhoneNumber
from .profiles import VERIFY, Operator

PATIENCE = 2  # seconds to ask again for what is still usable: the login that asks needs the rest of its time
FRESH = 600  # seconds in which metadata and keys are used without asking again
STALE = 3600  # seconds in which they are still used while the operator cannot be asked
COOL_DOWN = 60  # seconds between two refetches for a key that is not there, and between two tries of an outage

T = TypeVar("T")
Key = tuple[str | None, ...]  # of what is held: which it is, whose, and where it came from


class Opened(Protocol):
    """What the browser's attempt keeps of its AuthorizationRequest."""

    @property
    def nonce(self) -> str: ...
    @property
    def verifier(self) -> str: ...
    @property
    def redirect_uri(self) -> str: ...


class Held(NamedTuple):
    """What was fetched; ``since`` it was asked for, and ``due`` again (seconds of the Directory's clock)."""

    value: Any
    since: float
    due: float


class Directory:
    """What a process knows of its operators: their metadata and keys, each with its age.

    Thread-safe without a lock, which a fork could inherit held: entries are only ever replaced whole.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[Key, Held] = {}
        self._refetched: dict[tuple[Key, bool], float] = {}

    def metadata(self, operator: Operator) -> Conversation[Metadata]:
        """Yield the discovery request where it is due; return the operator's Metadata (OIDC Discovery 4).

        Raises Misconfigured where its answers could not be told from another operator's: any other sign comes after
        the code is spent (RFC 9700 4.4.2).
        """
        if operator.is_complete:
            metadata = _metadata(operator, {})
        else:
            key = ("metadata", operator.fingerprint, str(operator.response_iss))
            metadata = yield from self._cached(key, partial(discover, operator))
        if operator.shares_callback and not metadata.response_iss:
            raise Misconfigured(
                "the operator shares its callback with another and does not announce iss: set its REDIRECT_URI to "
                "callback/NAME/ and register that with it, or set RESPONSE_ISS to True if it sends iss"
            )
        return metadata

    def learn(self, operator: Operator) -> Conversation[None]:
        """Yield the requests for what is not known yet, or not any more: the metadata, and the keys of ID tokens."""
        metadata = yield from self.metadata(operator)
        if operator.id_token == "required":  # noqa: S105
            yield from self._keys(operator, metadata)

    def verified(self, token: Any, operator: Operator, metadata: Metadata) -> Conversation[bytes]:
        """Yield the key request where it is due; return the ID token's payload (bytes), or raise IdTokenInvalid.

        Keys that do not verify the token and are older are fetched once more: the operator may have rotated them.
        """
        came, algorithm = self._clock(), operator.id_token_alg
        kid = jose.read_kid(token, algorithm)  # before any fetch: a wrong algorithm costs nothing
        key = _key_of_keys(operator, metadata)
        known = yield from self._keys(operator, metadata)
        candidates = known.candidates(kid, algorithm)
        try:
            return jose.verify(token, candidates, algorithm)
        except IdTokenInvalid:
            if self._held[key].since < came:
                # A bad signature by a known key uses up nobody's look for a new one.
                yield from self._refetch_keys(key, metadata, why=bool(candidates))
            newest = self._held[key].value
            if newest is known:
                raise
        return jose.verify(token, newest.candidates(kid, algorithm), algorithm)

    def _keys(self, operator: Operator, metadata: Metadata) -> Conversation[jose.KeySet]:
        return self._cached(_key_of_keys(operator, metadata), partial(fetch_keys, metadata.jwks_uri))

    def _refetch_keys(self, key: Key, metadata: Metadata, why: bool) -> Conversation[None]:
        """Yield the key request unless one was made lately for the same reason ``why``.

        The cool-down begins when keys have come: until then simultaneous logins ask too, rather than fail.
        """
        if self._clock() - self._refetched.get((key, why), -COOL_DOWN) >= COOL_DOWN:
            yield from self._fetched(key, fetch_keys(metadata.jwks_uri))
            self._refetched[key, why] = self._clock()

    def _cached(self, key: Key, fetch: Callable[..., Conversation[T]]) -> Conversation[T]:
        now, held = self._clock(), self._held.get(key)
        if held is not None and now < held.due:
            value: T = held.value
            return value
        if held is None or now >= held.since + STALE:
            return (yield from self._fetched(key, fetch()))
        # One login asks, and not for long; the others go on with what is known, an outage through.
        self._held[key] = held._replace(due=min(now + COOL_DOWN, held.since + STALE))
        try:
            return (yield from self._fetched(key, fetch(patience=PATIENCE)))
        except NumberVerifyError:
            known: T = self._held[key].value
            return known

    def _fetched(self, key: Key, conversation: Conversation[T]) -> Conversation[T]:
        begun = self._clock()
        value = yield from conversation
        held = self._held.get(key)
        if held is None or held.since <= begun:  # else somebody asked later and was answered sooner
            self._held[key] = Held(value, begun, begun + FRESH)
            self._forget_before(begun - 2 * STALE)
        return value

    def _forget_before(self, moment: float) -> None:
        """Drop what nobody uses any more: an operator may name another jwks_uri in each document."""
        for key, held in list(self._held.items()):
            if held.since < moment:
                self._held.pop(key, None)
        for which, at in list(self._refetched.items()):
            if at < moment:
                self._refetched.pop(which, None)


def _key_of_keys(operator: Operator, metadata: Metadata) -> Key:
    return "keys", operator.fingerprint, metadata.jwks_uri


def discover(operator: Operator, patience: float | None = None) -> Conversation[Metadata]:
    """Yield the discovery request; return the Metadata, or raise (OIDC Discovery 4.3: the issuer must be equal)."""
    url = operator.discovery_url or f"{(operator.issuer or '').rstrip('/')}/.well-known/openid-configuration"
    operator.check_url(url)
    document = _document((yield Request("discovery", "GET", url, patience=patience, is_public=True)))
    if document.get("issuer") != operator.issuer:
        raise Misconfigured("the discovery document is of another issuer than ISSUER")
    return _metadata(operator, document)


def fetch_keys(jwks_uri: str | None, patience: float | None = None) -> Conversation[jose.KeySet]:
    """Yield the JWKS request; return the operator's KeySet."""
    if jwks_uri is None:
        raise IdTokenInvalid("an ID token came, and there is no JWKS_URI to check it with")
    return jose.KeySet.parse(_document((yield Request("jwks", "GET", jwks_uri, patience=patience, is_public=True))))


def exchange(
    operator: Operator,
    directory: Directory,
    response: AuthorizationResponse,
    *,
    opened: Opened,
    operation: str,
    clock: Callable[[], float] = time.time,
) -> Conversation[AccessToken]:
    """Yield the token request and, where due, the key request; return the validated AccessToken.

    ``opened`` has the attempt's ``nonce``, ``verifier`` and ``redirect_uri``.
    """
    request = tokens.token_request(
        operator,
        response.metadata,
        code=response.code,
        verifier=opened.verifier,
        redirect_uri=opened.redirect_uri,
        now=clock(),
    )
    received = tokens.parse_token_response((yield request), operator, operation)
    if not received.has_id_token:
        if operator.id_token == "required":  # noqa: S105
            raise IdTokenInvalid("the token response has no ID token")
        return AccessToken(received.access_token)
    payload = yield from directory.verified(received.id_token, operator, response.metadata)
    return tokens.validate_id_token(
        payload, operator, nonce=opened.nonce, access_token=received.access_token, now=clock()
    )


def ask(
    operator: Operator,
    token: AccessToken,
    *,
    operation: str,
    number: PhoneNumber | None,
    client_address: str | None = None,
) -> Conversation[Verification]:
    """Yield the one paid call; return the Verification, or raise what the operator's answer stands for."""
    if operation == VERIFY:
        reply = yield verification.verify_request(operator, token, number, client_address)  # type: ignore[arg-type]  # has one
        found = verification.parse_verify(reply, operator, number)  # type: ignore[arg-type]  # likewise
    else:
        reply = yield verification.share_request(operator, token, client_address)
        found = verification.parse_share(reply, operator)
    return replace(found, subscriber=token.subscriber)


def _document(response: Response) -> dict[str, Any]:
    """Return the JSON object of a public document, or raise."""
    if 300 <= response.status < 400:
        raise RedirectRefused
    if response.status == 429:
        raise OperatorBusy
    if response.status >= 500:
        raise OperatorUnavailable
    if response.status != 200:
        raise Misconfigured("the operator has no document there: check ISSUER, DISCOVERY_URL and JWKS_URI")
    try:
        return response.parse()  # documents are served under many types, such as application/jwk-set+json
    except ValueError as error:
        raise ResponseInvalid("the document is not a JSON object") from error


def _metadata(operator: Operator, document: dict[str, Any]) -> Metadata:
    """Return the Metadata of the settings, completed by the discovery ``document``; what is configured wins."""
    found: dict[str, Any] = {
        name: getattr(operator, name) or document.get(name)
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    }
    for url in found.values():
        if url is not None:
            operator.check_url(url)
    if not (found["authorization_endpoint"] and found["token_endpoint"]):
        raise Misconfigured("the discovery document names no authorization or token endpoint")
    if operator.id_token == "required" and not found["jwks_uri"]:  # noqa: S105
        raise Misconfigured("the discovery document names no jwks_uri to check ID tokens with")
    supported = document.get("authorization_response_iss_parameter_supported") is True
    return Metadata(**found, response_iss=supported if operator.response_iss is None else operator.response_iss)
