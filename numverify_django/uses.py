"""What numbers are proved for: a table from an attempt's use to what its callback does with the proof.

An app of ``contrib`` adds its own use with ``register``, in its AppConfig.ready.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth import authenticate, get_backends, login, logout
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from . import backends, flow, hooks, pages, session, signals
from .models import Use, VerificationAttempt
from .protocol.exceptions import (
    Cancelled,
    Expired,
    Misconfigured,
    NumberTaken,
    NumberVerifyError,
    PolicyRefused,
    UserMismatch,
)
from .protocol.messages import Verification

if TYPE_CHECKING:
    from django.contrib.auth.models import _User as User  # of the site's model, which the stubs look up

logger = logging.getLogger(__name__)


class Purpose:
    """What an attempt is for; each method says what a new use must decide."""

    def require(self, request: HttpRequest, attempt: VerificationAttempt) -> None:
        """Raise what makes the proof needless, before it is paid for."""

    def complete(self, request: HttpRequest, claimed: flow.Claimed, verification: Verification) -> None:
        """Do what the number was proved for, or raise the NumberVerifyError that forbids it.

        What it does not end (``attempt.succeed``) stays open, claimed, for a later request to end.
        """
        raise NotImplementedError

    def undo(self, request: HttpRequest) -> None:
        """Take back what ``complete`` did in the session before it failed."""

    def destination(self, attempt: VerificationAttempt, next_url: str) -> str:
        """Return where the person goes on success."""
        return next_url

    def is_told_there(self, error: NumberVerifyError) -> bool:
        """Tell whether the page that the person came from says itself what ``error`` (a NumberVerifyError) means."""
        return isinstance(error, Cancelled)

    def failure(self, next_url: str) -> dict[str, Any]:
        """Return what a failure's page has otherwise: ``again_url``, ``again_label``, ``caption``, ``fallback_url``."""
        return {}

    def group_of(self, reason: str) -> str:
        """Return the page group of ``reason``."""
        return pages.group_of(reason)


class LogIn(Purpose):
    """Log in the account of the number."""

    @sensitive_variables()
    def complete(self, request: HttpRequest, claimed: flow.Claimed, verification: Verification) -> None:
        """Admit its owner."""
        admit(request, claimed.attempt, verification)

    def undo(self, request: HttpRequest) -> None:
        """Log out: nobody stays half logged in."""
        logout(request)

    def destination(self, attempt: VerificationAttempt, next_url: str) -> str:
        """Return ``next_url``, by way of where LOGIN_POLICY sends the person first."""
        return pages.with_next(attempt.detour, next_url) if attempt.detour else next_url


class StepUp(Purpose):
    """Confirm that a signed-in person has the SIM of their number."""

    def require(self, request: HttpRequest, attempt: VerificationAttempt) -> None:
        """Raise UserMismatch or Cancelled where there is nobody, or nothing any more, to confirm."""
        if request.user.is_anonymous or request.user.pk != attempt.user_id:
            raise UserMismatch  # a new password or a deleted account ended the login meanwhile
        if session.is_proved_since(request, attempt.created_at):
            raise Cancelled("another tab was quicker")

    @sensitive_variables()
    def complete(self, request: HttpRequest, claimed: flow.Claimed, verification: Verification) -> None:
        """Admit them again."""
        admit(request, claimed.attempt, verification)

    def failure(self, next_url: str) -> dict[str, Any]:
        """Lead back to where another of their numbers can be chosen."""
        return {"again_url": pages.confirm_url(next_url)}


class Reverify(StepUp):
    """Confirm it on the way to a page that does not need it: whatever comes of it, the page comes next."""

    def require(self, request: HttpRequest, attempt: VerificationAttempt) -> None:
        """Raise UserMismatch as well where the number was removed meanwhile: nobody asked to add it again."""
        super().require(request, attempt)
        if not cast(session.NumberVerificationRequest, request).number_verification.is_verified:
            raise UserMismatch

    def is_told_there(self, error: NumberVerifyError) -> bool:
        """Nothing is told: the proof stays old, and nobody is logged out."""
        return True


class Link(Purpose):
    """Add a number to the account of a signed-in person."""

    def require(self, request: HttpRequest, attempt: VerificationAttempt) -> None:
        """Raise UserMismatch where they are signed in no more."""
        if request.user.is_anonymous or request.user.pk != attempt.user_id:
            raise UserMismatch

    @sensitive_variables()
    def complete(self, request: HttpRequest, claimed: flow.Claimed, verification: Verification) -> None:
        """Let it log in to their account."""
        admit(request, claimed.attempt, verification)
        session.note_once(request, added=verification.number.ending)

    def failure(self, next_url: str) -> dict[str, Any]:
        """Lead back to the form."""
        url = reverse("numverify:add_number")
        return {"action_url": url, "again_url": pages.with_next(url, next_url), "own_numbers": []}

    def group_of(self, reason: str) -> str:
        """Return a page that tells, to who proved it, that the number may be another account's."""
        if reason == NumberTaken.code:
            return "number_taken"
        group = pages.group_of(reason)
        return "not_added" if group == "not_confirmed" else group


class Fill(Purpose):
    """Let the number wait for a form of the site."""

    @sensitive_variables()
    def complete(self, request: HttpRequest, claimed: flow.Claimed, verification: Verification) -> None:
        """Keep it for this browser."""
        flow.fill(request, claimed, verification)

    def failure(self, next_url: str) -> dict[str, Any]:
        """Lead back to the form; there is no other way in where nobody logs in."""
        return {
            "again_url": next_url,
            "again_label": _("Back to the form"),
            "caption": _("Nothing was filled in"),
            "fallback_url": "",
        }


class Absent(Purpose):
    """The use of an app that is not installed any more."""

    def require(self, request: HttpRequest, attempt: VerificationAttempt) -> None:
        """Refuse."""
        raise Misconfigured("the app that began this attempt is not in INSTALLED_APPS")


ABSENT = Absent()
TABLE: dict[str, Purpose] = {
    Use.LOGIN: LogIn(),
    Use.STEP_UP: StepUp(),
    Use.REVERIFY: Reverify(),
    Use.LINK: Link(),
    Use.FILL: Fill(),
}


def register(use: str, purpose: Purpose) -> None:
    """Let ``purpose`` (a Purpose) say what attempts of ``use`` are for."""
    TABLE[use] = purpose


def of(attempt: VerificationAttempt | Expired) -> Purpose:
    """Return the Purpose of ``attempt``."""
    return TABLE.get(attempt.use, ABSENT)


@sensitive_variables()
def admit(request: HttpRequest, attempt: VerificationAttempt, verification: Verification) -> None:
    """Log in, or confirm, the account that the backend finds for a proved number; end the attempt and tell the site."""
    user = identify(request, attempt, verification)
    if attempt.detour:
        session.hold_login(request, user, attempt)
    else:
        _let_in(request, user)
        session.record_proof(request, attempt)
    signals.send(signals.number_verified, request, user=user, attempt=attempt)


@sensitive_variables()
def identify(request: HttpRequest, attempt: VerificationAttempt, verification: Verification) -> "User":
    """Return the account that the backend finds for a proved number, and with which it ended the attempt."""
    find = _find_to_log_in if attempt.user_id is None else _find_to_confirm
    user = find(request, attempt, verification)
    if user is None or attempt.verified_number is None:
        raise Misconfigured("no backend of AUTHENTICATION_BACKENDS knows the number, or another took its place")
    return user


@sensitive_variables()
def _find_to_log_in(request: HttpRequest, attempt: VerificationAttempt, verification: Verification) -> "User | None":
    """Ask every backend, as Django does at each login: one may keep out whoever it likes."""
    user = authenticate(request, attempt=attempt, verification=verification)
    if user is None and any(getattr(backend, "needs_number", False) for backend in get_backends()):
        attempt.is_told = True
        raise PolicyRefused("another backend of AUTHENTICATION_BACKENDS refused before ours was asked")
    return user


@sensitive_variables()
def _find_to_confirm(request: HttpRequest, attempt: VerificationAttempt, verification: Verification) -> "User":
    """Ask ours alone: who is signed in does not log in, nor fail to.

    A lock-out of their address, which a mobile carrier gives to crowds, is not about them.
    """
    user: User | None = None
    with suppress(PermissionDenied):  # as Django takes it from a backend of the site's
        user = backends.ours().authenticate(request, attempt, verification)
    if user is None:
        raise PolicyRefused("the site's own backend refused")
    return user


def _let_in(request: HttpRequest, user: "User") -> None:
    if request.user.is_authenticated:  # as this very user: the backend refuses any other
        # Whoever copied the cookie since the login must not have the proof as well (OWASP ASVS 5.0, 7.2.4).
        request.session.cycle_key()
    else:
        login(request, user)


class Ending:
    """How an attempt ended: ``error`` is the NumberVerifyError, or None."""

    error: NumberVerifyError | None = None


@contextmanager
def ending() -> Iterator[Ending]:
    """Give an Ending to what follows, and keep there what it raises: Misconfigured where it is no NumberVerifyError."""
    end = Ending()
    try:
        yield end
    except NumberVerifyError as error:
        end.error = error if error.outcome else Misconfigured("a hook of the site raised what ends no attempt")
    except Exception as error:  # a site's hook, or the database: the attempt must end, and a person sees no 500
        logger.error("a verification failed: %s\n%s", type(error).__name__, hooks.trace(error))
        end.error = Misconfigured("a hook of the site or its database failed")
