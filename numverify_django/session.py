"""What the session knows: which browser began, and what was proved in it."""

import ipaddress
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth import SESSION_KEY, get_user_model, load_backend, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_login_failed
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseSession
from django.core.exceptions import PermissionDenied
from django.db import router
from django.http import HttpRequest
from django.utils.functional import cached_property

from . import conf, sealing, statements
from .models import REFERENCE, Outcome, Use, VerificationAttempt, VerifiedNumber
from .protocol import profiles
from .protocol.exceptions import Cancelled, Expired
from .protocol.phone import PhoneNumber

if TYPE_CHECKING:
    from django.contrib.auth.models import _User as User  # of the site's model, which the stubs look up

KEY = "numverify"
ADDRESS_AND_PORT = re.compile(r"\[([^\[\]]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")  # as some proxies write it
RECENT = 900  # seconds in which somebody who logged in may change their numbers
SKEW = 60  # seconds by which the clocks of a site's machines may differ

Age = float | timedelta  # in seconds where it is a number
AnyUser = AbstractBaseUser | AnonymousUser


class NumberVerificationRequest(HttpRequest):
    """A request as the middleware leaves it: for annotations alone."""

    number_verification: "NumberVerification"
    anumber_verification: Callable[[], Awaitable["NumberVerification"]]


class StepUpRequired(PermissionDenied):
    """A view wants the SIM proved again: the middleware runs the redirect. ``max_age`` is seconds or None (any)."""

    def __init__(self, max_age: Age | None = None) -> None:
        super().__init__("the number must be verified again")
        self.max_age = max_age


def bind_browser(request: HttpRequest) -> str:
    """Return the random value that binds attempts to this session, made at its first use."""
    known: dict[str, str] = request.session.setdefault(KEY, {})
    if "browser" not in known:
        known["browser"] = secrets.token_urlsafe(32)
        _save_now(request)
    return known["browser"]


def _save_now(request: HttpRequest) -> None:
    """Save a session that exists before the operator is asked: a second start meanwhile must find the same value."""
    request.session.modified = True
    if request.session.session_key:
        with suppress(UpdateError):  # Django answers it, when it saves the session itself
            request.session.save()


def browser_of(request: HttpRequest) -> str | None:
    """Return the random value of this session, or None where it never began anything."""
    browser: str | None = request.session.get(KEY, {}).get("browser")
    return browser


def record_proof(request: HttpRequest, attempt: VerificationAttempt) -> None:
    """Remember that the VerifiedNumber of ``attempt`` was proved just now in this session."""
    _remember(request, proof=_proof_of(attempt))


def _proof_of(attempt: VerificationAttempt) -> dict[str, Any]:
    record: VerifiedNumber = attempt.verified_number  # type: ignore[assignment]  # it is proved, so there is one
    # By the clock of the machine that asked for it, where that is ahead: there it would look older than it is.
    at = max(time.time(), attempt.created_at.timestamp())
    return {"number": record.pk, "at": at, "operator": record.operator}


def forget_proof(request: HttpRequest) -> None:
    """Forget what a SIM proved in this session: the login that follows was made another way."""
    _remember(request, proof=None)


def hold_login(request: HttpRequest, user: AbstractBaseUser, attempt: VerificationAttempt) -> None:
    """Keep the login of ``user`` for complete_login: LOGIN_POLICY sends the person elsewhere first."""
    request.session.cycle_key()
    _remember(request, held={"user": str(user.pk), "backend": user.backend, "proof": _proof_of(attempt)})


def complete_login(request: HttpRequest) -> "User | None":
    """Log in the person whom LOGIN_POLICY sent elsewhere, and return the user.

    Returns None where no login waits, or waited longer than ATTEMPT_LIFETIME, or the account may not log in any more,
    or somebody else logged in meanwhile.
    """
    held = request.session.get(KEY, {}).get("held")
    if held is None or time.time() - held["proof"]["at"] > conf.get().attempt_lifetime:
        return None
    user = load_backend(held["backend"]).get_user(held["user"])
    if user is None or not _may_complete(request, user, held["proof"]):
        return None
    login(request, user, held["backend"])
    _remember(request, held=None, proof=held["proof"])
    return user


def _may_complete(request: HttpRequest, user: AbstractBaseUser, proof: dict[str, Any]) -> bool:
    """Tell whether what was true when the login was held is true still: minutes have passed."""
    is_another = request.user.is_authenticated and not is_same(user, request.user)
    number = VerifiedNumber.objects.filter(pk=proof["number"], user=user.pk, operator=proof["operator"])
    return not is_another and number.exists() and (conf.get().allow_staff or not is_staff(user))


def is_same(user: AnyUser, other: AnyUser) -> bool:
    """Tell whether ``user`` of the user model is ``other``, who may be of a child of it (multi-table).

    To Django those two are not equal.
    """
    return isinstance(other, get_user_model()) and user.pk == other.pk


def is_staff(user: AnyUser) -> bool:
    """Tell whether ``user`` is one of those whom ALLOW_STAFF is about."""
    return getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)


def require(request: HttpRequest) -> None:
    """Raise Cancelled where the session was ended meanwhile: by logging out, by another login, by a quicker tab."""
    if request.session.exists(request.session.session_key):  # type: ignore[arg-type]  # None is no session's key
        return
    try:
        request.session.save()  # where the browser itself keeps the session, nothing else tells that there is one
    except UpdateError as error:
        request.session.modified = False  # nor must the answer save it: the browser may have a newer one's by now
        raise Cancelled("the session was ended meanwhile") from error


def succeed(request: HttpRequest, attempt: VerificationAttempt, user: AbstractBaseUser, number: PhoneNumber) -> None:
    """Record that ``attempt`` proved ``number`` for ``user``; raise Cancelled where the session was ended meanwhile.

    Of a session that Django keeps in this database that is asked in the same statement, on PostgreSQL. An app has none.
    """
    if attempt.use == Use.APP:
        attempt.succeed(user, number)
        return
    condition = _while_there(request.session, attempt)
    if condition is None:
        require(request)
    try:
        attempt.succeed(user, number, condition=condition)
    except Expired:
        require(request)
        raise


def _while_there(store: SessionBase, attempt: VerificationAttempt) -> tuple[str, list[Any]] | None:
    """Return the condition that a session has its row, or None where that is not beside the row of ``attempt``."""
    if type(store).exists is not DatabaseSession.exists or not statements.are_known(type(attempt)):
        return None
    model = store.model  # type: ignore[attr-defined]  # of what ``exists`` tells to be a DatabaseSession
    if router.db_for_write(model) != router.db_for_write(type(attempt)):
        return None
    return statements.is_there(model, session_key=store.session_key)


def note_try(request: HttpRequest) -> None:
    """Remember that this session's proof was tried to be renewed, or that it could not be; at once, for other tabs.

    The answer does not save it once more: where another tab gave the session a new key meanwhile, it would be a 400.
    """
    _remember(request, tried=time.time())
    request.session.modified = False  # unless the store is the cookie itself: saving sets it again
    with suppress(UpdateError):
        request.session.save()


def was_tried(request: HttpRequest, seconds: float) -> bool:
    """Tell whether ``note_try`` was called less than ``seconds`` ago."""
    tried: float = request.session.get(KEY, {}).get("tried", 0)
    return -SKEW <= time.time() - tried <= seconds


def note_once(request: HttpRequest, **facts: object) -> None:
    """Remember ``facts`` until ``noted`` is asked for them."""
    _remember(request, once=request.session.get(KEY, {}).get("once", {}) | facts)


def noted(request: HttpRequest, name: str) -> Any:
    """Return what ``note_once`` noted as ``name``, and forget it; or None."""
    known = request.session.get(KEY, {}).get("once", {})
    if name in known:
        _remember(request, once={other: known[other] for other in known if other != name})
    return known.get(name)


def on_login(sender: object, request: HttpRequest, user: AbstractBaseUser, **kwargs: object) -> None:
    """Remember that somebody logged in just now, by whatever way: a receiver of Django's ``user_logged_in``."""
    known = getattr(request, "session", {}).get(SESSION_KEY)
    if known == user._meta.pk.value_to_string(user):  # an API may log in for one request alone, and beside a session
        _remember(request, login_at=time.time())


def forget_login(request: HttpRequest) -> None:
    """Forget that somebody logged in just now: staff who switch to another's account are not its owner.

    What proved who they are is needed again before a number is added or removed.
    """
    _remember(request, login_at=0)


def on_failure(sender: object, request: HttpRequest, attempt: VerificationAttempt, **kwargs: object) -> None:
    """Send Django's ``user_login_failed`` where SEND_LOGIN_FAILED asks for it: a receiver of our own signal.

    It is about a login that the SIM or the site refused: nobody guesses by being on Wi-Fi. No number is told, nor an
    account: whoever types another person's number must not lock that person out.
    """
    is_login = attempt.user_id is None  # else it was to confirm who is signed in, or to add a number of theirs
    is_refused = attempt.outcome in (Outcome.MISMATCH, Outcome.REFUSED) and not attempt.is_told
    if is_login and is_refused and conf.get().send_login_failed:
        user_login_failed.send(sender=__name__, credentials={"username": None}, request=request)


def has_just_come(request: HttpRequest) -> bool:
    """Tell whether whoever is signed in logged in, or proved a number of theirs, in the last RECENT seconds."""
    return has_just_logged_in(request) or cast(NumberVerificationRequest, request).number_verification.is_fresh(RECENT)


def has_just_logged_in(request: HttpRequest) -> bool:
    """Tell whether whoever is signed in logged in, by whatever way, in the last RECENT seconds."""
    login_at: float = request.session.get(KEY, {}).get("login_at", 0)
    return -SKEW <= time.time() - login_at <= RECENT


def record_filled(request: HttpRequest, attempt: VerificationAttempt) -> None:
    """Remember that ``attempt`` holds a number for a form of this session."""
    _remember(request, filled=attempt.pk)


def _remember(request: HttpRequest, **facts: object) -> None:
    request.session[KEY] = request.session.get(KEY, {}) | facts
    cast(NumberVerificationRequest, request).number_verification = NumberVerification(request)


def keep(request: HttpRequest, **values: object) -> str:
    """Return ``values`` sealed under the browser's random value and a key of the server; nothing where it has none."""
    browser = browser_of(request)
    return sealing.seal(_key(browser), values) if browser else ""


def kept(browser: str | None, attempt: VerificationAttempt) -> dict[str, Any]:
    """Return the values that ``attempt`` keeps for this browser while its lifetime lasts, or {}."""
    if not attempt.sealed or not attempt.is_over or attempt.expires_at.timestamp() < time.time():
        return {}
    return unsealed(browser, attempt.sealed)


def unsealed(browser: str | None, sealed: str) -> dict[str, Any]:
    """Return the values that ``keep`` sealed for this browser, or {}: they are another's."""
    return sealing.unseal(_key(browser), sealed)


def _key(browser: str | None) -> str:
    return f"{browser}:{django_settings.SECRET_KEY}"


def attempt_of(request: HttpRequest, **which: object) -> VerificationAttempt | None:
    """Return the attempt of this session's browser that ``which`` (field lookups) finds, or None."""
    return _attempt_by(browser_of(request), **which)


def _attempt_by(browser: str | None, **which: object) -> VerificationAttempt | None:
    if browser is None:
        return None
    return VerificationAttempt.objects.filter(browser_digest=sealing.digest(browser), **which).first()


def attempt_called(request: HttpRequest, reference: str) -> VerificationAttempt | None:
    """Return this browser's attempt with ``reference``, with or without its hyphen, or None."""
    return attempt_begun_by(browser_of(request), reference)


def attempt_begun_by(browser: str | None, reference: str) -> VerificationAttempt | None:
    """Return the attempt with ``reference`` that ``browser`` (its random value, or an app's) began, or None."""
    plain = reference.replace("-", "").upper()
    return _attempt_by(browser, reference=plain) if REFERENCE.fullmatch(plain) else None


def kept_values(request: HttpRequest, reference: str) -> dict[str, Any]:
    """Return what this browser's attempt with ``reference`` keeps, and its operator's name, or {}."""
    attempt = attempt_called(request, reference)
    return kept(browser_of(request), attempt) | {"operator": attempt.operator} if attempt else {}


class Own(NamedTuple):
    """A number of who is signed in, and the operator to ask about it."""

    key: str  # of its VerifiedNumber: what a page names it by
    number: PhoneNumber
    operator: profiles.Operator


def own(request: HttpRequest) -> list[Own]:
    """Return the Owns of who is signed in that an operator serves now.

    The one that this session proved comes first, for its SIM is likely in this phone; then the one proved last.
    """
    if not request.user.is_authenticated:
        return []
    proved = (request.session.get(KEY, {}).get("proof") or {}).get("number")
    records = VerifiedNumber.objects.filter(user=request.user.pk).order_by("-last_verified_at", "-pk")
    return [own for own in map(_own, sorted(records, key=lambda record: record.pk != proved)) if own]


def _own(record: VerifiedNumber) -> Own | None:
    """Return the Own of ``record``; its operator is the one that vouched for it, as long as the site has that."""
    number, settings = record.phone_number, conf.get()
    operator = profiles.select(settings.offered(record.operator), number) or profiles.select(settings.operators, number)
    return Own(str(record.pk), number, operator) if operator else None


def is_proved_since(request: HttpRequest, moment: datetime) -> bool:
    """Tell whether this session's user proved a number of theirs after ``moment`` (naive where USE_TZ is off)."""
    proof = NumberVerification(request)
    return proof.verified_at is not None and proof.verified_at.timestamp() > moment.timestamp()


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address (str) or None; X-Forwarded-For is believed as far as TRUSTED_PROXIES go."""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    # A Unix socket has no address: who is at its other end is on this machine.
    address = _address(request.META.get("REMOTE_ADDR") or "127.0.0.1")
    while hops and address and any(address in network for network in conf.get().trusted_proxies):
        address = _address(hops.pop())
    return str(address) if address else None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    found = ADDRESS_AND_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((found[1] or found[2]) if found else text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address  # how a dual-stack socket sees an IPv4 client


class NumberVerification:
    """``request.number_verification``: what the SIM proved in this session. Nothing is read before it is asked for."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        # One VerifiedNumber, under the proof's number and the user it was looked up for.
        self._found: dict[tuple[Any, Any], VerifiedNumber | None] = {}

    @property
    def _proof(self) -> Any:
        return self._request.session.get(KEY, {}).get("proof")

    @property
    def _verified_number(self) -> VerifiedNumber | None:
        """The VerifiedNumber of the proof while it is still this user's, or None."""
        user, proof = self._request.user, self._proof
        if proof is None or user is None or not user.is_authenticated:  # None: UNAUTHENTICATED_USER of REST framework
            return None
        which = (proof["number"], user.pk)
        if which not in self._found:
            self._found = {which: VerifiedNumber.objects.filter(pk=which[0], user=which[1]).first()}
        return self._found[which]

    async def aread(self) -> Self:
        """Return itself, once all that it knows has been read: ``await request.anumber_verification()``."""
        await sync_to_async(lambda: (self.is_verified, self.filled))()
        return self

    @property
    def is_verified(self) -> bool:
        """Whether a number of this user was proved in this session, however long ago."""
        return self._verified_number is not None

    @property
    def number(self) -> PhoneNumber | None:
        """The PhoneNumber that was proved, or None."""
        return self._verified_number.phone_number if self._verified_number else None

    @property
    def verified_at(self) -> datetime | None:
        """The moment of the proof (an aware datetime), or None."""
        return datetime.fromtimestamp(self._proof["at"], UTC) if self.is_verified else None

    @property
    def operator(self) -> str | None:
        """The name of the operator that vouched, or None."""
        return self._proof["operator"] if self.is_verified else None

    def is_old(self, age: float) -> bool:
        """Tell whether a number of this user was proved in this session, but longer than ``age`` (seconds) ago."""
        return self._proof is not None and not self._is_within(age) and self.is_verified

    def is_fresh(self, max_age: Age | None = None) -> bool:
        """Tell whether the proof is at most ``max_age`` old (seconds or a timedelta; None for any age).

        Less than SKEW (60 seconds) counts as that: a proof must do for the view that asked for it, on any machine.
        """
        if not self.is_verified:
            return False
        if isinstance(max_age, timedelta):
            max_age = max_age.total_seconds()
        return max_age is None or self._is_within(max_age)

    def _is_within(self, age: float) -> bool:
        at: float = self._proof["at"]
        return -SKEW <= time.time() - at <= max(age, SKEW)

    @cached_property
    def filled(self) -> PhoneNumber | None:
        """The PhoneNumber that the operator shared for a form of this session; None once ATTEMPT_LIFETIME is over."""
        pk = self._request.session.get(KEY, {}).get("filled")
        attempt = pk and attempt_of(self._request, pk=pk, use=Use.FILL, outcome=Outcome.VERIFIED)
        values = kept(browser_of(self._request), attempt) if attempt else {}
        return PhoneNumber(values["number"]) if "number" in values else None
