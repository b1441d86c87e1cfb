"""Number Verification as each specification spells it, as data; and the pure rules that read it."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .state import UNKNOWN, UNSET

PLUS_REQUIRED = re.compile(r"\+[1-9][0-9]{4,14}")
PLUS_OPTIONAL = re.compile(r"\+?[1-9][0-9]{4,14}")
SHA256_HEX = re.compile(r"[a-fA-F0-9]{64}")


@dataclass(frozen=True, slots=True)
class Problem:
    """An error answer: its status, code and message."""

    status: int
    code: str
    message: str


class Refused(Exception):
    """The request gets a Problem for an answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


INVALID_ARGUMENT = Problem(400, "INVALID_ARGUMENT", "Client specified an invalid argument, request body or query param")
UNAUTHENTICATED = Problem(401, "UNAUTHENTICATED", "Request not authenticated: credentials missing, invalid or expired")
PERMISSION_DENIED = Problem(403, "PERMISSION_DENIED", "Client does not have sufficient permissions for this action")
TOO_MANY_REQUESTS = Problem(429, "TOO_MANY_REQUESTS", "Too many requests in a short time")
UNAVAILABLE = Problem(503, "UNAVAILABLE", "Service unavailable")
# The default specification names the status and no code, CAMARA v2 neither: the code is that of CAMARA's Commonalities.
CANNOT_TELL = Problem(422, "UNSUPPORTED_IDENTIFIER", "The number cannot be told from the device's connection")
NO_MOBILE_NETWORK = Problem(
    403,
    "NUMBER_VERIFICATION.USER_NOT_AUTHENTICATED_BY_MOBILE_NETWORK",
    "Client must authenticate via the mobile network to use this service",
)
NO_SUPPORTED_METHOD = Problem(
    403,
    "NUMBER_VERIFICATION.USER_NOT_AUTHENTICATED_BY_SUPPORTED_METHOD",
    "Client must authenticate via the mobile network or another supported method",
)
PREFIXED_TOKEN_CONTEXT = Problem(
    403,
    "NUMBER_VERIFICATION.INVALID_TOKEN_CONTEXT",
    "Phone number cannot be deduced from the access token's context",
)
TOKEN_CONTEXT = Problem(403, "INVALID_TOKEN_CONTEXT", PREFIXED_TOKEN_CONTEXT.message)

DEVICE = {
    "phoneNumber": str,
    "networkAccessIdentifier": str,
    "ipv4Address": {"publicAddress": str, "publicPort": int},
    "ipv6Address": str,
}
JOINED_SCOPES = ("number-verification-verify-read", "number-verification-share-read")
CAMARA_SCOPES = ("number-verification:verify", "number-verification:device-phone-number:read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One specification. ``scopes`` are for verify and share; ``identifiers`` maps what a body may hold to its form."""

    name: str
    roots: tuple[str, ...]
    scopes: tuple[str, str] = CAMARA_SCOPES
    identifiers: Mapping[str, re.Pattern[str]]
    device: bool = False
    share_path: str = "/device-phone-number"
    share_method: str = "GET"
    share_field: str = "devicePhoneNumber"
    share_errors_have_a_body: bool = True
    off_network: Problem = NO_MOBILE_NETWORK
    cannot_tell: Problem
    correlator: re.Pattern[str] = re.compile(r".*")

    @property
    def plus_is_optional(self) -> bool:
        """Whether a number may come, and be hashed, without its plus."""
        return "hashedPhoneNumber" in self.identifiers and self.identifiers["phoneNumber"] is PLUS_OPTIONAL


LOOSE = {"phoneNumber": PLUS_OPTIONAL, "hashedPhoneNumber": SHA256_HEX}
STRICT = {"phoneNumber": PLUS_REQUIRED, "hashedPhoneNumber": SHA256_HEX}

DIALECTS = (
    Dialect(
        name="telefonica",
        roots=("/v1/number-verification", "/number-verification"),
        scopes=("number-verification:verify", "number-verification:read"),
        identifiers={"phoneNumber": PLUS_REQUIRED},
        device=True,
        share_path="/share",
        share_method="POST",
        share_field="phoneNumber",
        share_errors_have_a_body=False,
        cannot_tell=CANNOT_TELL,
    ),
    Dialect(
        name="telefonica-apigateway-v0",
        roots=("/apigateway/number-verification/v0",),
        scopes=JOINED_SCOPES,
        identifiers=LOOSE,
        cannot_tell=PREFIXED_TOKEN_CONTEXT,
    ),
    Dialect(
        name="telefonica-apigateway-v1",
        roots=("/apigateway/number-verification/v1",),
        identifiers=LOOSE,
        cannot_tell=PREFIXED_TOKEN_CONTEXT,
    ),
    Dialect(
        name="telefonica-apigateway-v2",
        roots=("/apigateway/number-verification/v2",),
        identifiers=LOOSE,
        off_network=NO_SUPPORTED_METHOD,
        cannot_tell=PREFIXED_TOKEN_CONTEXT,
    ),
    Dialect(
        name="camara-v0",
        roots=("/number-verification/v0",),
        scopes=JOINED_SCOPES,
        identifiers=LOOSE,
        cannot_tell=PREFIXED_TOKEN_CONTEXT,
    ),
    Dialect(
        name="camara-v1",
        roots=("/number-verification/v1",),
        identifiers=STRICT,
        cannot_tell=TOKEN_CONTEXT,
    ),
    Dialect(
        name="camara-v2",
        roots=("/number-verification/v2",),
        identifiers=STRICT,
        cannot_tell=CANNOT_TELL,
        correlator=re.compile(r"[a-zA-Z0-9\-_:;./<>{}]{0,256}"),
    ),
)
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}

Verdict = bool | Problem | str  # the text is NOT_JSON


@dataclass(frozen=True, slots=True)
class Digit:
    """What the last digit of a number stands for while no SIM is picked; ``delay`` in seconds."""

    digit: str
    text: str
    answer: Callable[[Dialect], Verdict]
    delay: float = 0


NOT_JSON = "<!doctype html><title>Gateway</title><p>This is a web page, not JSON."

DIGITS = (
    Digit("1", "verified", lambda dialect: True),
    Digit("2", "another number", lambda dialect: False),
    Digit("3", "not on the mobile network (403)", lambda dialect: dialect.off_network),
    Digit("4", "the network cannot tell (422, or the dialect's 403)", lambda dialect: dialect.cannot_tell),
    Digit("5", "operator out of order (503)", lambda dialect: UNAVAILABLE),
    Digit("6", "verified, after 3 seconds", lambda dialect: True, delay=3),
    Digit("7", "too many requests (429)", lambda dialect: TOO_MANY_REQUESTS),
    Digit("8", "access token refused (401)", lambda dialect: UNAUTHENTICATED),
    Digit("9", "permission denied (403)", lambda dialect: PERMISSION_DENIED),
    Digit("0", "an answer that is not JSON (200, HTML)", lambda dialect: NOT_JSON),
)
BY_DIGIT = {digit.digit: digit for digit in DIGITS}


def read_identifier(dialect: Dialect, body: object) -> tuple[str, str]:
    """Return the name and value of what a verify body asks about, or raise Refused with INVALID_ARGUMENT."""
    if not isinstance(body, dict):
        raise Refused(INVALID_ARGUMENT)
    names = [name for name in dialect.identifiers if name in body]
    if len(names) != 1 or set(body) - {*names, *(["device"] if dialect.device else [])}:
        raise Refused(INVALID_ARGUMENT)
    value = body[names[0]]
    if not isinstance(value, str) or not dialect.identifiers[names[0]].fullmatch(value):
        raise Refused(INVALID_ARGUMENT)
    check_device(body)
    return names[0], value


def check_device(body: dict[str, Any]) -> None:
    """Raise Refused unless the body's ``device``, where there is one, has the form that the specification gives it."""
    if not _fits(body.get("device", {}), DEVICE):
        raise Refused(INVALID_ARGUMENT)


def judge(dialect: Dialect, sim: str, name: str, value: str) -> tuple[Verdict, float]:
    """Return what verify answers about an identifier, and after how many seconds: True, False, Problem or NOT_JSON."""
    if sim == UNKNOWN or (sim == UNSET and name == "hashedPhoneNumber"):
        return dialect.cannot_tell, 0
    if sim == UNSET:
        digit = BY_DIGIT[value[-1]]
        return digit.answer(dialect), digit.delay
    spellings = {sim, sim.removeprefix("+")} if dialect.plus_is_optional else {sim}
    if name == "hashedPhoneNumber":
        spellings = {hashlib.sha256(spelling.encode()).hexdigest() for spelling in spellings}
    return value.lower() in spellings, 0


def _fits(value: object, form: type | dict[str, Any]) -> bool:
    if isinstance(form, dict):
        return isinstance(value, dict) and all(key in form and _fits(value[key], form[key]) for key in value)
    return isinstance(value, form) and not isinstance(value, bool)
