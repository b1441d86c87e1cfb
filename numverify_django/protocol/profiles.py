"""What differs between operators, as values: there is no ``if operator ==`` anywhere."""

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from . import exceptions
from .exceptions import NumberVerifyError
from .phone import PhoneNumber

VERIFY, SHARE = "verify", "share"
# No user, fragment, blank, backslash or percent in the authority: parsers disagree about where these lead.
# No longer than what browsers, proxies and Django take in a redirect, our parameters included.
URL = re.compile(r"https?://[a-z0-9._:\[\]-]{1,300}(?:[/?][!\"$-\[\]-~]{0,2000})?", re.ASCII | re.IGNORECASE)
PRIVATE_DOMAINS = {"localhost", "localdomain", "local", "internal", "arpa"}  # RFC 6761, 6762, 8375, ICANN
TUNNELS = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))  # may lead to any IPv4 address
FRAUD_PREVENTION = "dpv:FraudPreventionAndDetection"
SERVICE_PROVISION = "dpv:ServiceProvision"

Place = tuple[str, int | None]  # a host and a port
# Number Verification's own codes, which some operators spell without their prefix.
OWN_CODES: dict[str, type[NumberVerifyError]] = {
    "INVALID_TOKEN_CONTEXT": exceptions.CannotDetermine,
    "USER_NOT_AUTHENTICATED_BY_MOBILE_NETWORK": exceptions.NotOnMobileNetwork,
    "USER_NOT_AUTHENTICATED_BY_SUPPORTED_METHOD": exceptions.NotOnMobileNetwork,
    "INVALID_TS43_TOKEN": exceptions.TokenRefused,
}
# With CAMARA's Commonalities; every dialect is built on them, and each may answer with any of them.
CODES: Mapping[str, type[NumberVerifyError]] = MappingProxyType(
    {
        "INVALID_ARGUMENT": exceptions.Misconfigured,
        "OUT_OF_RANGE": exceptions.Misconfigured,
        "UNAUTHENTICATED": exceptions.TokenRefused,
        "AUTHENTICATION_REQUIRED": exceptions.TokenRefused,
        "PERMISSION_DENIED": exceptions.PermissionDenied,
        "IDENTIFIER_NOT_FOUND": exceptions.CannotDetermine,
        "SERVICE_NOT_APPLICABLE": exceptions.NotCovered,
        "UNSUPPORTED_IDENTIFIER": exceptions.CannotDetermine,
        "QUOTA_EXCEEDED": exceptions.OperatorBusy,
        "TOO_MANY_REQUESTS": exceptions.OperatorBusy,
        **OWN_CODES,
        **{f"NUMBER_VERIFICATION.{code}": kind for code, kind in OWN_CODES.items()},
    }
)
# Where the body has no known code.
STATUSES: Mapping[int, type[NumberVerifyError]] = MappingProxyType(
    {
        400: exceptions.Misconfigured,
        401: exceptions.TokenRefused,
        403: exceptions.PermissionDenied,
        404: exceptions.Misconfigured,
        422: exceptions.CannotDetermine,
        429: exceptions.OperatorBusy,
    }
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the API in one dialect: ``result`` is the field of the answer that is read."""

    method: str
    path: str
    scope: str
    result: str
    purpose: str = FRAUD_PREVENTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A dialect and the defaults that come with it; an upper-case operator key of the settings overrides its field."""

    name: str
    verify: Operation
    share: Operation
    # the dialect
    openid: bool = True
    scope_joiner: str = " "  # between the purpose and the operation's scope
    accepts_hash: bool = False
    accepts_device: bool = False
    plus_required: bool = True  # in the numbers that the operator answers
    codes: Mapping[str, type[NumberVerifyError]] = field(default_factory=lambda: CODES, repr=False)
    statuses: Mapping[int, type[NumberVerifyError]] = field(default_factory=lambda: STATUSES, repr=False)
    # the defaults of the operator keys
    issuer: str | None = None
    discovery_url: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    jwks_uri: str | None = None
    api_root: str | None = None
    client_auth: str | None = None
    id_token: str = "required"  # noqa: S105
    response_iss: bool | None = None
    login_hint: str = "none"
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """An operator as a site configured it. Built by ``conf``; ``name`` is its key in ``NUMVERIFY["OPERATORS"]``."""

    name: str
    profile: Profile
    client_id: str
    api_root: str
    issuer: str | None = None
    discovery_url: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    jwks_uri: str | None = None
    client_secret: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    key_id: str = ""
    client_auth: str = "client_secret_basic"
    assertion_alg: str = "RS256"
    assertion_audience: str = "endpoint"
    id_token: str = "required"  # noqa: S105
    id_token_alg: str = "RS256"  # noqa: S105
    response_iss: bool | None = None
    pkce: bool = True
    purpose: str | None = None
    scopes: tuple[str, ...] | None = None
    operation: str = VERIFY
    hashed: bool = False
    login_hint: str = "none"
    send_device: bool = False
    redirect_uri: str | None = None
    app_redirect_uri: str | None = None
    prefixes: tuple[str, ...] = ()
    timeout: float = 10.0
    allow_loopback: bool = False
    rivals: frozenset[Place] = frozenset()  # places of the site's other operators, which no document may lead to
    shares_callback: bool = False  # with another of them: there only iss tells whose an answer is (RFC 9207)
    # A digest (hex) of where this operator is and who we are to it: a changed one ends the attempts under way.
    fingerprint: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        told = [str(getattr(self, name)) for name in FINGERPRINTED]
        object.__setattr__(self, "fingerprint", hashlib.sha256("\n".join(told).encode()).hexdigest()[:32])

    def serves(self, number: PhoneNumber) -> bool:
        """Tell whether ``number`` is one of the operator's countries (PREFIXES; none means any)."""
        return not self.prefixes or number.e164.startswith(self.prefixes)

    @property
    def operations(self) -> tuple[str, ...]:
        """What it may be asked: to verify any number that it serves, and to share one where OPERATION says so."""
        return (VERIFY, SHARE) if self.operation == SHARE else (VERIFY,)

    def operation_named(self, name: str) -> Operation:
        """Return the profile's Operation for ``verify`` or ``share``."""
        return {VERIFY: self.profile.verify, SHARE: self.profile.share}[name]

    def scope(self, name: str) -> str:
        """Return the scope parameter: ``openid``, one ``dpv:`` purpose and the operation's scope, as spelled here."""
        if self.scopes is not None:
            return " ".join(self.scopes)
        operation = self.operation_named(name)
        wanted = f"{self.purpose or operation.purpose}{self.profile.scope_joiner}{operation.scope}"
        return f"openid {wanted}" if self.profile.openid else wanted

    def check_url(self, url: str) -> None:
        """Raise Misconfigured unless ``url`` is https to a public host, or on ISSUER's allowed loopback origin."""
        try:
            fine = URL.fullmatch(url) and (self._is_own_loopback(url) or _is_public(url))
            fine = fine and _place(url) not in self.rivals  # whose assertions and secrets are none of its business
        except (ValueError, TypeError):
            fine = False
        if not fine:
            raise exceptions.Misconfigured("an operator's URL must be https and lead to a public host of its own")

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing is left to a discovery document."""
        needs_keys = self.id_token == "required"  # noqa: S105
        return bool(self.authorization_endpoint and self.token_endpoint and (self.jwks_uri or not needs_keys))

    @property
    def places(self) -> frozenset[Place]:
        """The hosts and ports at which this operator is configured."""
        urls = (self.issuer, self.discovery_url, self.authorization_endpoint, self.token_endpoint)
        return frozenset(map(_place, filter(None, urls)))

    def _is_own_loopback(self, url: str) -> bool:
        return (
            self.allow_loopback
            and self.issuer is not None
            and origin(url) == origin(self.issuer)
            and is_loopback(urlsplit(url).hostname)
        )


FINGERPRINTED = (
    "name",
    "client_id",
    "api_root",
    "issuer",
    "discovery_url",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "id_token_alg",
)


def origin(url: str) -> tuple[str, ...]:
    """Return scheme and network location of ``url``, which name where a request goes."""
    return tuple(urlsplit(url)[:2])


def _place(url: str) -> Place:
    """Return the host and port that ``url`` leads to, however they are written."""
    parts = urlsplit(url)
    return (parts.hostname or "").rstrip("."), parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def is_loopback(host: str | None) -> bool:
    """Tell whether ``host`` is this machine, by address or as ``localhost``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _is_public(url: str) -> bool:
    """Tell whether ``url`` is https to a public address, or to a name that is no disguised or private one."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.port == 0:  # a port that is none is a ValueError
        return False
    try:
        address = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return _is_public_name(parts.hostname.rstrip("."))
    special = address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False)
    return address.is_global and not special and not any(address in network for network in TUNNELS)


def _is_public_name(name: str) -> bool:
    last = name.rpartition(".")[2]
    return "." in name and last[:1].isalpha() and last not in PRIVATE_DOMAINS  # 127.1 and 0x7f.1 are addresses


def serving(operators: Iterable[Operator], number: PhoneNumber | None) -> tuple[Operator, ...]:
    """Return those of ``operators`` that serve ``number`` (None: that share), in their order."""
    if number is None:
        return tuple(operator for operator in operators if SHARE in operator.operations)
    return tuple(operator for operator in operators if operator.serves(number))


def select(operators: Iterable[Operator], number: PhoneNumber | None) -> Operator | None:
    """Return the first of ``operators`` that serves ``number`` (None: the first that shares), or None."""
    return next(iter(serving(operators, number)), None)


def _camara(version: str, *, verify_scope: str, share_scope: str, **dialect: Any) -> Profile:
    root = f"/number-verification/{version}"
    return Profile(
        verify=Operation("POST", f"{root}/verify", verify_scope, "devicePhoneNumberVerified"),
        share=Operation("GET", f"{root}/device-phone-number", share_scope, "devicePhoneNumber"),
        accepts_hash=True,
        **dialect,
    )


TELEFONICA = Profile(
    name="telefonica",
    verify=Operation("POST", "/number-verification/verify", "number-verification:verify", "devicePhoneNumberVerified"),
    share=Operation("POST", "/number-verification/share", "number-verification:read", "phoneNumber"),
    accepts_device=True,
    issuer="https://opengateway.telefonica.com",  # the openIdConnectUrl of the specification is its discovery
    api_root="https://opengateway.telefonica.com/v1",
    prefixes=("+34", "+49", "+55"),
)
TELEFONICA_SANDBOX = replace(
    TELEFONICA, name="telefonica-sandbox", api_root="https://sandbox.opengateway.telefonica.com/v1"
)

_SCOPES_V0 = {"verify_scope": "number-verification-verify-read", "share_scope": "number-verification-share-read"}
_SCOPES = {
    "verify_scope": "number-verification:verify",
    "share_scope": "number-verification:device-phone-number:read",
}
_GATEWAY = "https://sandbox.opengateway.telefonica.com/apigateway"
_APIGATEWAY: dict[str, Any] = {
    "openid": False,
    "id_token": "absent",
    "authorization_endpoint": f"{_GATEWAY}/authorize",
    "token_endpoint": f"{_GATEWAY}/token",
    "api_root": _GATEWAY,
    "plus_required": False,
    "prefixes": ("+34", "+49", "+55"),
}
APIGATEWAY_V0 = _camara("v0", name="telefonica-apigateway-v0", scope_joiner="#", **_SCOPES_V0, **_APIGATEWAY)
APIGATEWAY_V1 = _camara("v1", name="telefonica-apigateway-v1", **_SCOPES, **_APIGATEWAY)
APIGATEWAY_V1 = replace(APIGATEWAY_V1, share=replace(APIGATEWAY_V1.share, purpose=SERVICE_PROVISION))
APIGATEWAY_V2 = _camara("v2", name="telefonica-apigateway-v2", **_SCOPES, **_APIGATEWAY)
APIGATEWAY_V2 = replace(APIGATEWAY_V2, share=replace(APIGATEWAY_V2.share, purpose=SERVICE_PROVISION))
CAMARA_V0 = _camara("v0", name="camara-v0", plus_required=False, **_SCOPES_V0)
CAMARA_V1 = _camara("v1", name="camara-v1", **_SCOPES)
CAMARA_V2 = _camara("v2", name="camara-v2", **_SCOPES)

PROFILES = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            TELEFONICA,
            TELEFONICA_SANDBOX,
            APIGATEWAY_V0,
            APIGATEWAY_V1,
            APIGATEWAY_V2,
            CAMARA_V0,
            CAMARA_V1,
            CAMARA_V2,
        )
    }
)
