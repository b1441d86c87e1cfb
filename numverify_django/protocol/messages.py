"""The frozen values that travel between the layers. None of them shows a secret in its repr."""

import ipaddress
import json
import math
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self, TypeVar

from .phone import PhoneNumber

MAX_DEPTH = 20
REFUSED = re.compile("[\0\ud800-\udfff]")  # texts that no database or UTF-8 takes

T = TypeVar("T")


class Secret:
    """A value that is never pickled: a cache or a queue is no place for it."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds secrets")


@dataclass(frozen=True, slots=True)
class Request(Secret):
    """An HTTP request to an operator: ``hop`` names it in logs and timings; header names are lower-case.

    ``patience`` is how many seconds it may take at most, where that is less than what is left of the deadline.
    What ``is_public`` has the same answer for everybody.
    """

    hop: str
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    patience: float | None = None
    is_public: bool = False


@dataclass(frozen=True, slots=True)
class Response(Secret):
    """An operator's whole answer: header names are lower-case, the body is at most the transport's cap."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def json_object(self) -> dict[str, Any]:
        """Return the body as a dict, or raise ValueError: strict UTF-8 JSON sent as ``application/json`` (RFC 8259)."""
        kind, *parameters = self.headers.get("content-type", "").lower().split(";")
        charsets = {
            value.strip('" ') for name, _, value in (text.partition("=") for text in parameters) if "charset" in name
        }
        if kind.strip() != "application/json" or not charsets <= {"utf-8", "utf8"}:
            raise ValueError("the content type is not application/json in UTF-8")
        return self.parse()

    def parse(self) -> dict[str, Any]:
        """Return the body as a dict whatever its declared type, or raise ValueError."""
        return parse_object(self.body)


Conversation = Generator[Request, Response, T]  # what is said to an operator, without any I/O, and what comes of it


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where an operator's endpoints are: from the settings, completed by discovery (OIDC Discovery 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str | None
    response_iss: bool


@dataclass(frozen=True, slots=True)
class AuthorizationRequest(Secret):
    """What the browser is sent away with, and the secrets that stay behind until it returns."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class AuthorizationResponse(Secret):
    """A successful authorization response, and the metadata it was checked against, where its code may be spent.

    Only ``authorization.parse_response`` makes one.
    """

    code: str = field(repr=False)
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class TokenSet(Secret):
    """A token response that passed its checks: the ID token is still to be validated."""

    access_token: str = field(repr=False)
    id_token: object = field(default=None, repr=False)
    has_id_token: bool = False


@dataclass(frozen=True, slots=True)
class AccessToken(Secret):
    """A single-use access token whose ID token was validated, or that its operator is set to send without one.

    ``subscriber`` is the ID token's issuer and subject, which together name the operator's customer, or "".
    """

    value: str = field(repr=False)
    subscriber: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Device(Secret):
    """The ``device`` of a call, in the dialect that has one; every field may be missing."""

    phone_number: PhoneNumber | None = None
    network_access_identifier: str | None = field(default=None, repr=False)
    public_address: str | None = field(default=None, repr=False)  # IPv4
    public_port: int | None = None
    ipv6_address: str | None = field(default=None, repr=False)

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the device at a client's address (text, IPv4 or IPv6), or raise ValueError."""
        found = ipaddress.ip_address(address)
        found = getattr(found, "ipv4_mapped", None) or found  # how a dual-stack server sees an IPv4 client
        return cls(public_address=str(found)) if found.version == 4 else cls(ipv6_address=str(found))

    def as_json(self) -> dict[str, Any]:
        """Return the object as the specification spells it."""
        ipv4 = {"publicAddress": self.public_address, "publicPort": self.public_port}
        given = {
            "phoneNumber": self.phone_number and self.phone_number.e164,
            "networkAccessIdentifier": self.network_access_identifier,
            "ipv4Address": {name: value for name, value in ipv4.items() if value is not None},
            "ipv6Address": self.ipv6_address,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class Verification(Secret):
    """The proof: the operator said that this number is the SIM's; ``subscriber`` as in AccessToken."""

    number: PhoneNumber
    subscriber: str = field(default="", repr=False, compare=False)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body`` (bytes), or raise ValueError.

    Refused: other encodings than UTF-8, a BOM, duplicate names, NaN, Infinity, NUL, lone surrogates, deep nesting.
    """
    try:
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not strict JSON: {type(error).__name__}") from None  # the cause holds the whole body
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    _check(value, MAX_DEPTH)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name appears twice")
    return dict(pairs)


def _refuse(constant: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def _check(value: object, depth: int) -> None:
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        if REFUSED.search(value):
            raise ValueError("a NUL or a lone surrogate in a text")
    elif isinstance(value, dict):
        for name, item in value.items():
            _check(name, depth - 1)
            _check(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth - 1)
