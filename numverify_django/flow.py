"""The verbs of a verification, called alike by views, middleware and whatever else starts or ends one.

``begin`` opens an attempt and tells where the browser goes; ``claim`` makes a callback's attempt this caller's alone;
``receive`` reads the authorization response; ``verify`` talks with the operator; ``fill`` and ``fail`` end the attempt.

Those that ask the operator are coroutines. They read and write the database as well, so no event loop may run them
itself: ``transport.run`` and ``aio.run`` do.
"""

import logging
import secrets
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables

from . import calls, conf, limits, session, signals, transport
from .models import Opened, Use, VerificationAttempt
from .protocol import authorization, conversation, phone, profiles
from .protocol.exceptions import (
    Error,
    ForeignBrowser,
    Misconfigured,
    NumberVerifyError,
    OperatorBusy,
    OperatorChanged,
    OperatorTimeout,
    OperatorUnavailable,
    ResponseInvalid,
    StateUnknown,
    TooManyTries,
    Unavailable,
)
from .protocol.messages import AuthorizationResponse, Metadata, Request, Response, Verification
from .protocol.phone import PhoneNumber

logger = logging.getLogger(__name__)

_directory = conversation.Directory()

WARM_UP = 5  # seconds
BEGUN_AGAIN = (Use.LOGIN, Use.STEP_UP, Use.LINK)  # by a form of ours, with the number that the failed attempt kept

Found = TypeVar("Found")
Params = dict[str, list[str]]  # of an authorization response: name -> values


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt that this request alone may finish, with what was sealed on it."""

    attempt: VerificationAttempt
    opened: Opened = field(repr=False)
    params: Params = field(repr=False)
    operator: profiles.Operator | None
    deadline: calls.Deadline = field(repr=False)


@sensitive_variables()
async def begin(
    request: HttpRequest,
    operator: profiles.Operator,
    number: PhoneNumber | None,
    *,
    use: str,
    next_url: str,
    user: AbstractBaseUser | None = None,
    app: str | None = None,
) -> tuple[VerificationAttempt, str | None]:
    """Open an attempt to prove ``number`` (None: to be told it); return it and the URL to send the browser to.

    ``user`` is who must have the number, where the site knows that already. ``app`` is what takes the place of this
    session's random value, where an app begins: it gets the answer itself, at the operator's APP_REDIRECT_URI.
    The URL is None where the operator cannot even be asked: the attempt is over then, and has its reason. Nothing is
    opened where TooManyTries or BudgetSpent is raised, or OperatorUnavailable: the operator has been out of order.
    """
    operation = profiles.SHARE if number is None else profiles.VERIFY
    is_known, address = not app and session.browser_of(request) is not None, session.client_address(request)
    browser = app or session.bind_browser(request)
    limits.Circuit(operator).check()
    limits.check_operator(operator)
    returns_to = (app and operator.app_redirect_uri) or redirect_uri(request, operator)
    facts: dict[str, Any] = {"redirect_uri": returns_to, "next_url": next_url, "number": number and number.e164}
    row: dict[str, Any] = {"browser": browser, "operator": operator, "operation": operation, "address": address}
    row |= {"use": use, "user": user, "timings": {}, "tries": (number, browser if is_known else None, address)}
    try:
        metadata = await _metadata(operator, calls.Deadline(operator.timeout), row["timings"])
    except NumberVerifyError as error:
        nothing = Opened(**facts, fingerprint="", nonce="", verifier="")
        attempt = _open(state=secrets.token_urlsafe(32), opened=nothing, **row)
        fail(request, attempt, error, nothing)
        return attempt, None
    asked = authorization.build_request(operator, metadata, operation=operation, number=number, redirect_uri=returns_to)
    opened = Opened(**facts, fingerprint=_fingerprint(operator, metadata), nonce=asked.nonce, verifier=asked.verifier)
    attempt = _open(state=asked.state, opened=opened, **row)
    limits.check_budget(operator, attempt)
    await calls.Ahead([metadata.token_endpoint, operator.api_root], operator.timeout)
    return attempt, asked.url


@sensitive_variables()
def _open(tries: tuple[PhoneNumber | None, str | None, str | None], **row: Any) -> VerificationAttempt:
    """Return the new attempt, or raise TooManyTries; ``tries`` is what the limits count by."""
    _, browser, _ = tries
    attempt = VerificationAttempt.objects.open(**row, unless=limits.reached(*tries))
    if attempt is None:
        limits.check_tries(VerificationAttempt.objects, *tries)
        raise TooManyTries("a limit was reached an instant ago", retry_after=1)
    if browser is not None:  # else it has no other attempts, and nothing is asked about them
        VerificationAttempt.objects.tidy(browser)
    return attempt


@sensitive_variables()
def claim(request: HttpRequest) -> Claimed:
    """Return the Claimed attempt of this callback, whose query is emptied before anything can see or report it.

    Raises StateUnknown, ForeignBrowser, Replayed or Expired: then the request is no business of an open attempt.
    """
    try:
        params = dict(request.GET.lists())
    except TooManyFieldsSent as error:
        raise StateUnknown from error
    finally:
        forget_query(request)
    return claim_for(params, session.browser_of(request))


@sensitive_variables()
def claim_for(params: Params, browser: str | None) -> Claimed:
    """Return the Claimed attempt of an authorization response's ``params`` (name -> values) that ``browser`` began."""
    states = params.get("state", [])
    if len(states) != 1 or not states[0]:
        raise StateUnknown
    if browser is None:
        raise ForeignBrowser
    known = {operator.name: operator for operator in conf.get().operators}  # or raise before anything is spent
    attempt, opened = VerificationAttempt.objects.claim(states[0], browser)
    operator = known.get(attempt.operator)
    return Claimed(attempt, opened, params, operator, calls.Deadline(operator.timeout if operator else 0))


async def receive(claimed: Claimed) -> AuthorizationResponse:
    """Return the AuthorizationResponse, or raise what the operator answered instead."""
    if claimed.operator is None:
        raise OperatorChanged
    if not claimed.opened.fingerprint.startswith(f"{claimed.operator.fingerprint} "):
        raise OperatorChanged  # before its new place is asked for anything
    metadata = await _metadata(claimed.operator, claimed.deadline, claimed.attempt.timings)
    if claimed.opened.fingerprint != _fingerprint(claimed.operator, metadata):
        raise OperatorChanged
    return authorization.parse_response(claimed.params, claimed.operator, metadata)


@sensitive_variables()
async def verify(request: HttpRequest, claimed: Claimed, response: AuthorizationResponse) -> Verification:
    """Spend the code for a token and the token for the one paid call; return the Verification, or raise."""
    attempt = claimed.attempt
    operator: profiles.Operator = claimed.operator  # type: ignore[assignment]  # or ``receive`` raised
    talk = _talk(operator, claimed, response, session.client_address(request))
    verification = await _asked(operator, talk, claimed.deadline, attempt.timings, str(attempt.correlator))
    if not operator.serves(verification.number):
        raise ResponseInvalid("the operator vouches for a number outside its PREFIXES")
    return verification


def _talk(
    operator: profiles.Operator, claimed: Claimed, response: AuthorizationResponse, client_address: str | None
) -> Generator[Request, Response, Verification]:
    operation = claimed.attempt.operation
    token = yield from conversation.exchange(operator, _directory, response, opened=claimed.opened, operation=operation)
    return (
        yield from conversation.ask(
            operator,
            token,
            operation=operation,
            number=claimed.opened.phone_number,
            client_address=client_address,
        )
    )


@sensitive_variables()
def fill(request: HttpRequest, claimed: Claimed, verification: Verification) -> None:
    """End an attempt that fills a form: the number waits on its row for this browser, and nobody is logged in."""
    number = verification.number
    session.require(request)
    request.session.cycle_key()  # whoever planted this session must not read the number in it
    sealed = session.keep(request, number=number.e164)
    claimed.attempt.succeed(None, number, kept=sealed)
    session.record_filled(request, claimed.attempt)
    signals.send(signals.number_verified, request, user=None, attempt=claimed.attempt)


@sensitive_variables()
def fail(
    request: HttpRequest, attempt: VerificationAttempt, error: NumberVerifyError, opened: Opened | None = None
) -> None:
    """End ``attempt`` with ``error``, unless it is over; of what it ``opened``, another try may need the number."""
    values = {"next": opened.next_url} if opened else {}
    if opened and opened.number and attempt.use in BEGUN_AGAIN and isinstance(error, Unavailable | Error):
        values["number"] = opened.number
    if attempt.fail(error, kept=session.keep(request, **values) if values else ""):
        told = (attempt.reference_shown, attempt.operator, error.outcome, error.code, error)
        logger.log(_level(error), "attempt %s at %s ended: %s, %s: %s", *told)
        signals.send(signals.number_verification_failed, request, attempt=attempt, reason=error.code)


def _level(error: NumberVerifyError) -> int:
    """Return how loud a failed attempt is: a setting to correct, an operator in trouble, or a person's own affair."""
    if isinstance(error, Misconfigured):
        return logging.ERROR
    is_trouble = isinstance(error, Error | OperatorUnavailable | OperatorTimeout | OperatorBusy)
    return logging.WARNING if is_trouble else logging.INFO


async def _metadata(operator: profiles.Operator, deadline: calls.Deadline, timings: dict[str, int]) -> Metadata:
    return await _asked(operator, _directory.metadata(operator), deadline, timings)


@sensitive_variables()
async def _asked(
    operator: profiles.Operator,
    conversation: Generator[Request, Response, Found],
    deadline: calls.Deadline,
    timings: dict[str, int],
    correlator: str = "",
) -> Found:
    """Return what ``conversation`` returns; where it asks the operator, its circuit lets it or not, and learns."""
    circuit = limits.Circuit(operator)
    try:
        found = await calls.converse(conversation, deadline, correlator, circuit.enter, timings)
    except NumberVerifyError as error:
        circuit.leave(error)
        raise
    circuit.leave()
    return found


def warm_up() -> None:
    """Fetch what every login needs to know of each operator, for a server's hook that runs when a worker starts.

    Else the first login of a worker waits for it, and for how numbers are written in 245 countries to be read. A
    failure is logged, and left to that login. All of it takes WARM_UP seconds at most, but for resolving names.
    """
    phone.regions()
    deadline = calls.Deadline(WARM_UP)
    for operator in conf.served():
        try:
            transport.run(_asked(operator, _directory.learn(operator), deadline, {}))
        except NumberVerifyError as error:
            logger.warning("operator %s could not be asked ahead: %s: %s", operator.name, error.code, error)


def _fingerprint(operator: profiles.Operator, metadata: Metadata) -> str:
    return f"{operator.fingerprint} {metadata.token_endpoint}"


def redirect_uri(request: HttpRequest, operator: profiles.Operator) -> str:
    """Return where the browser shall come back to; a host that anybody may claim to be is no place for a code."""
    if operator.redirect_uri:
        return operator.redirect_uri
    if "*" in settings.ALLOWED_HOSTS:
        raise Misconfigured("ALLOWED_HOSTS takes any host: set REDIRECT_URI of the operator, or the hosts")
    return request.build_absolute_uri(reverse("numverify:callback"))


def forget_query(request: HttpRequest) -> None:
    """Empty the query wherever Django and servers keep it: it holds the code."""
    request.GET = QueryDict("")
    for name in ("QUERY_STRING", "REQUEST_URI", "RAW_URI"):
        if name in request.META:
            request.META[name] = ""
