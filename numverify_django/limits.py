"""How often and at what cost: limits counted on the attempts themselves, and a circuit breaker for a dead operator.

``RATE_LIMITS`` names each limit as [count, seconds], or None. Successes count, form errors open no attempt and do not.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec

from django.core.cache import cache
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from . import conf, sealing, statements
from .models import AuditManager, Outcome, VerificationAttempt, address_digests, number_digests
from .protocol.exceptions import (
    BudgetSpent,
    Limited,
    NumberVerifyError,
    OperatorTimeout,
    OperatorUnavailable,
    RedirectRefused,
    ResponseInvalid,
    ResponseTooLarge,
    TokenInvalid,
    TokenRefused,
    TooManyTries,
)
from .protocol.phone import PhoneNumber
from .protocol.profiles import Operator

logger = logging.getLogger(__name__)

# What shows that an operator is out of order; a person's denial, a wrong number or a spent code does not.
FAULTS = (OperatorTimeout, OperatorUnavailable, RedirectRefused, ResponseInvalid, ResponseTooLarge, TokenInvalid)
FAULTS_TO_OPEN = 5  # one after the other
OPEN = 30  # seconds without a call, then one call is tried
REMEMBERED = 3600  # seconds in which faults are one after the other
CALM = 1  # seconds in which a process does not ask again about a circuit without faults

Arguments = ParamSpec("Arguments")

_calm: dict[str, float] = {}  # circuit -> until when (seconds of time.monotonic)


@sensitive_variables()
def check_tries(rows: AuditManager[Any], number: PhoneNumber | None, browser: str | None, address: str | None) -> None:
    """Raise TooManyTries where ``rows``, the manager of an AuditRow, has as many of these as are allowed.

    ``number`` (a PhoneNumber), ``browser`` and ``address`` (texts) may be None. A number is limited together with an
    address, so that no stranger elsewhere can use up another person's tries. Rows under an older pepper count as well.
    """
    for name, columns in _counted(number, browser, address).items():
        _check_count(rows, name, **columns)


@sensitive_variables()
def reached(number: PhoneNumber | None, browser: str | None, address: str | None) -> list[statements.Nth]:
    """Return the same limits, each as the ``statements.Nth`` that is there where it is reached.

    An attempt that is opened unless they are costs no statement for them.
    """
    found, now = [], timezone.now()
    for name, columns in _counted(number, browser, address).items():
        if (limit := conf.get().rate_limits[name]) is not None:
            found.append(statements.Nth(limit[0], "created_at", now - timedelta(seconds=limit[1]), columns))
    return found


def _counted(number: PhoneNumber | None, browser: str | None, address: str | None) -> dict[str, statements.Columns]:
    """Return which rows each limit counts: its name -> column -> values."""
    counted: dict[str, statements.Columns] = {"site": {}}
    addresses = address_digests(address)
    if browser is not None:
        counted["session"] = {"browser_digest": [sealing.digest(browser)]}
    if number is not None:  # of an unknown address too: those are one, as all behind a proxy that is not known
        counted["number_address"] = {"number_digest": number_digests(number), "address_digest": addresses}
    if address is not None:
        counted["address"] = {"address_digest": addresses}
    return counted


def check_code(rows: AuditManager[Any], number: PhoneNumber, browser: str | None, address: str | None) -> None:
    """Do so for a code that is sent to ``number``, which is limited from wherever it comes: a code can be guessed.

    A stranger may use that up, and keeps nobody out: the SIM is the way in.
    """
    check_tries(rows, number, browser, address)
    _check_count(rows, "code_number", number_digest=number_digests(number))


def check_budget(operator: Operator, attempt: VerificationAttempt) -> None:
    """Delete ``attempt`` and raise BudgetSpent where others that began at the same instant have spent the rest."""
    try:
        check_operator(operator, ~Q(pk=attempt.pk))
    except BudgetSpent:
        attempt.delete()
        raise


def check_operator(operator: Operator, *others: Q) -> None:
    """Raise BudgetSpent where what was asked of ``operator`` lately, or still may be, is all that the cap allows."""
    limit, now = conf.get().rate_limits["operator"], timezone.now()
    if limit is None:
        return
    since = now - timedelta(seconds=limit[1])
    is_open = Q(outcome=Outcome.PENDING, expires_at__gt=now)
    rows = VerificationAttempt.objects.filter(*others, Q(claimed_at__gt=since) | is_open, operator=operator.name)
    # Who came back lately began at most a lifetime before.
    began = since - timedelta(seconds=conf.get().attempt_lifetime)
    times = _times(rows.filter(created_at__gt=began).order_by("-created_at"))
    _refuse(BudgetSpent, "operator", times[limit[0] - 1 : limit[0]], limit[1])


def _check_count(rows: AuditManager[Any], name: str, **columns: Sequence[Any]) -> None:
    limit = conf.get().rate_limits[name]
    if limit is None:
        return
    count, seconds = limit
    since = timezone.now() - timedelta(seconds=seconds)
    key = statements.newest(rows.model, statements.Nth(count, "created_at", since, columns))
    if key is not None:
        _refuse(TooManyTries, name, _times(rows.filter(pk=key)), seconds)


def _times(rows: QuerySet[Any]) -> QuerySet[Any, datetime]:
    return rows.values_list("created_at", flat=True)


def _refuse(error: type[Limited], name: str, times: Iterable[datetime], seconds: int) -> None:
    """Raise ``error`` until the one of ``times`` is ``seconds`` ago, if there is one: it is the oldest that counts."""
    for oldest in times:
        wait = seconds - (timezone.now() - oldest).total_seconds()
        raise error(f"the limit '{name}' is reached", retry_after=max(1, wait))


def _forgiving(method: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Return ``method`` so that a cache that is down stops nobody: the circuit spares time, and guards nothing."""

    @wraps(method)
    def careful(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            return method(*args, **kwargs)
        except NumberVerifyError:
            raise
        except Exception as error:  # each backend has errors of its own
            logger.error("the cache failed: %s", type(error).__name__)

    return careful


@_forgiving
def pace(what: str, who: str, count: int, seconds: int) -> None:
    """Raise TooManyTries where ``who`` (text) did ``what`` more than ``count`` times in ``seconds``.

    Counted in the cache, which may forget: for what costs little and is asked often.
    """
    key = f"numverify_django.pace.{what}.{sealing.digest(who)}"
    cache.add(key, 0, seconds)
    if _increment(key) > count:
        raise TooManyTries(f"too often: {what}", retry_after=seconds)


class Circuit:
    """Whether an operator is worth asking, shared by a site's workers through Django's cache.

    It opens after FAULTS_TO_OPEN faults one after the other. After OPEN seconds one call is let through: its success
    closes the circuit, its fault opens it again. What other workers saw is known CALM seconds later at most.
    """

    def __init__(self, operator: Operator) -> None:
        key = f"numverify_django.circuit.{operator.fingerprint}"
        self._faults, self._open, self._probe = f"{key}.faults", f"{key}.open", f"{key}.probe"
        self._name, self._patience = key, operator.timeout
        self._has_entered = False
        self._known = 0  # faults, as of entering

    @_forgiving
    def check(self) -> None:
        """Raise OperatorUnavailable where asking is in vain for now."""
        self._look()

    @_forgiving
    def enter(self) -> None:
        """Raise OperatorUnavailable unless a call may be made now."""
        self._known = self._look()
        if self._known >= FAULTS_TO_OPEN and not cache.add(self._probe, True, self._patience):
            raise OperatorUnavailable("the circuit is open")
        self._has_entered = True

    def _look(self) -> int:
        """Return how many faults there were, or raise OperatorUnavailable."""
        if _calm.get(self._name, 0) > time.monotonic():
            return 0
        known: dict[str, int] = cache.get_many([self._faults, self._open])
        if known.get(self._open):
            raise OperatorUnavailable("the circuit is open")
        if not known:
            _calm[self._name] = time.monotonic() + CALM
        return known.get(self._faults, 0)

    @_forgiving
    def leave(self, error: NumberVerifyError | None = None) -> None:
        """Record how a call ended, if one was made: with ``error`` (a NumberVerifyError), or well."""
        if not self._has_entered:
            return
        if isinstance(error, FAULTS):
            self._count_fault()
        elif isinstance(error, TokenRefused):  # a code that is wrong shows little of the operator
            cache.delete(self._probe)
        elif self._known:
            cache.delete_many([self._faults, self._probe])

    def _count_fault(self) -> None:
        _calm.pop(self._name, None)
        cache.add(self._faults, 0, REMEMBERED)
        if _increment(self._faults) >= FAULTS_TO_OPEN:
            cache.set(self._open, True, OPEN)
            cache.delete(self._probe)


def _increment(key: str) -> int:
    try:
        return cache.incr(key)
    except ValueError:  # it was evicted meanwhile
        return 1
