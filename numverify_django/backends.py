"""Django's authentication by SIM: mozilla-django-oidc's hooks, on the claim ``phone_number``."""

import uuid
from inspect import signature
from typing import TYPE_CHECKING, Any, TypedDict

from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth import BACKEND_SESSION_KEY, get_backends, get_user_model, load_backend
from django.contrib.auth.backends import ModelBackend
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Exists, Manager, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_variables
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from . import conf, session, signals, statements
from .models import Use, VerificationAttempt, VerifiedNumber
from .protocol import exceptions
from .protocol.messages import Verification
from .protocol.phone import PhoneNumber

if TYPE_CHECKING:
    from django.contrib.auth.models import _User as User  # of the site's model, which the stubs look up

CONFIRMING = (Use.STEP_UP, Use.REVERIFY)  # who is signed in already


class Claims(TypedDict):
    """What the hooks get (OIDC Core 5.1)."""

    phone_number: str
    phone_number_verified: bool


class NumberVerificationBackend(OIDCAuthenticationBackend):
    """Log in the account of the number that the operator vouches for.

    A site overrides ``filter_users_by_claims``, ``create_user``, ``update_user`` and ``get_username``, which get
    ``{"phone_number": "+34...", "phone_number_verified": True}`` (OIDC Core 5.1). The settings of mozilla-django-oidc
    are not read: an operator is not the site's identity provider.
    """

    needs_number = True  # of the account: who has none cannot log in by this backend

    def __init__(self) -> None:
        self.UserModel = get_user_model()

    @sensitive_variables()
    def authenticate(  # type: ignore[override]  # by which arguments a backend is asked is its own affair
        self, request: HttpRequest, attempt: VerificationAttempt, verification: Verification
    ) -> "User":
        """Return the user of a claimed attempt (VerificationAttempt) and what it proved (Verification), or raise.

        ``request`` is of the browser that is to be logged in. Raises a NumberVerifyError with the reason; the caller
        records it.
        """
        try:
            return self._complete(request, attempt, verification)
        except (IntegrityError, OperationalError, exceptions.NumberTaken) as error:
            is_decided = attempt.use == Use.LINK and isinstance(error, exceptions.NumberTaken)
            if is_decided or attempt.holder is not None:  # the site is not asked twice
                raise
        # Another first login of this number was quicker: now there is an account to find. MariaDB calls it a deadlock.
        return self._complete(request, attempt, verification)

    async def aauthenticate(  # type: ignore[override]  # as above
        self, request: HttpRequest, attempt: VerificationAttempt, verification: Verification
    ) -> "User":
        """Do the same from asynchronous code."""
        return await sync_to_async(self.authenticate)(request, attempt, verification)

    def get_user(self, user_id: Any) -> "User | None":
        """Return the user while they may log in, or None: deactivation ends sessions."""
        return ModelBackend.get_user(self, user_id)

    async def aget_user(self, user_id: Any) -> "User | None":
        """Do the same from asynchronous code."""
        return await sync_to_async(self.get_user)(user_id)

    def filter_users_by_claims(self, claims: Claims) -> "QuerySet[User]":
        """Return the users who may be meant: those who proved this number before."""
        return self.UserModel._default_manager.filter(verified_numbers__number=claims["phone_number"])

    def create_user(self, claims: Claims) -> "User":
        """Return a new user with an opaque username and an unusable password."""
        user = self.UserModel(**{self.UserModel.USERNAME_FIELD: self.get_username(claims)})
        user.set_unusable_password()
        user.save()
        return user

    def update_user(self, user: "User", claims: Claims) -> "User":
        """Return ``user``, who has this number already, with what a site wants to change at each login."""
        return user

    def get_username(self, claims: Claims) -> str:
        """Return a random username: the number must not be guessed from it."""
        return uuid.uuid4().hex

    def has_other_way(self, request: HttpRequest, user: "User") -> bool:
        """Tell whether ``user``, who is signed in, has a way in beside their numbers: then they may remove the last.

        That is what they logged in with just now, or a password that a ModelBackend takes; a site adds what it knows.
        """
        found = {path: load_backend(path) for path in django_settings.AUTHENTICATION_BACKENDS}
        others = {path: backend for path, backend in found.items() if not getattr(backend, "needs_number", False)}
        came_by = request.session.get(BACKEND_SESSION_KEY) if session.has_just_logged_in(request) else None
        has_password = user.has_usable_password() and user.password != ""  # which Django calls usable
        return came_by in others or (has_password and any(map(_takes_passwords, others.values())))

    @sensitive_variables()
    def _complete(self, request: HttpRequest, attempt: VerificationAttempt, verification: Verification) -> "User":
        """Return the user once user, number and outcome are committed together; tell the site what is new."""
        number = verification.number
        claims: Claims = {"phone_number": number.e164, "phone_number_verified": True}
        with transaction.atomic():
            attempt.verified_number = _touch(number, self.UserModel._default_manager)
            user, is_new = self._find(request, attempt, claims)
            self._check(request, attempt, user)
            is_linked = _enrol(user, attempt, number)
            record = attempt.verified_number
            has_changed = record.note_subscriber(verification.subscriber)  # type: ignore[union-attr]  # it is enrolled
            session.succeed(request, attempt, user, number)  # after the operator's calls, and the site's policy
        happened = {
            signals.user_created: is_new,
            signals.number_linked: is_linked,
            signals.subscriber_changed: has_changed,
        }
        for signal in (signal for signal, has_happened in happened.items() if has_happened):
            signals.send(signal, request, user=user, attempt=attempt)
        if attempt.holder is not None:
            signals.send(signals.number_moved, request, user=user, previous=attempt.holder, attempt=attempt)
        return user

    @sensitive_variables()
    def _find(self, request: HttpRequest, attempt: VerificationAttempt, claims: Claims) -> "tuple[User, bool]":
        """Return the user to log in or to confirm, and whether they are new."""
        found = self._users(claims, attempt.verified_number)
        if attempt.user_id is not None and attempt.user_id != request.user.pk:
            raise exceptions.UserMismatch
        if attempt.use == Use.REVERIFY and not _is_alone(request, found):
            raise exceptions.UserMismatch  # nor is it added as a first number, which nobody asked for
        if attempt.use in CONFIRMING:
            return _confirmed(request, found), False
        if attempt.use == Use.LINK:
            attempt.holder = _holder(request, attempt, found)
            return request.user, False  # type: ignore[return-value]  # the attempt's, who is signed in
        if len(found) > 1:
            raise exceptions.NumberTaken
        if request.user.is_authenticated and not _is_alone(request, found):
            raise exceptions.UserMismatch  # somebody else logged in since this began
        if found:
            return self.update_user(found[0], claims), False
        if conf.get().unknown_number == "deny":
            raise exceptions.AccountUnknown
        return self.create_user(claims), True

    def _users(self, claims: Claims, known: VerifiedNumber | None) -> "list[User]":
        """Return the users who may be meant, two at most; ``known`` is what ``_touch`` read, which knows them already.

        A hook of the site's is asked.
        """
        hook = getattr(self.filter_users_by_claims, "__func__", None)  # an instance may have its own
        if hook is NumberVerificationBackend.filter_users_by_claims:
            return [known.user] if known and known.has_shown_user else []  # type: ignore[list-item]  # the site's
        return list(self.filter_users_by_claims(claims)[:2])

    def _check(self, request: HttpRequest, attempt: VerificationAttempt, user: "User") -> None:
        """Raise the Refused that keeps this user from logging in by SIM."""
        settings, logs_in = conf.get(), attempt.user_id is None
        if not self.user_can_authenticate(user):
            raise exceptions.AccountInactive
        if session.is_staff(user) and logs_in and not settings.allow_staff:
            raise exceptions.StaffRefused
        answer = True if settings.login_policy is None else settings.login_policy(request, user, attempt)
        if isinstance(answer, str) and _is_path(answer) and logs_in and attempt.use != Use.APP:  # which has no pages
            attempt.detour = answer
        elif answer is not True:
            raise exceptions.PolicyRefused


def ours() -> NumberVerificationBackend:
    """Return this app's backend in AUTHENTICATION_BACKENDS, or the site's subclass of it, or raise Misconfigured."""
    for backend in get_backends():
        if isinstance(backend, NumberVerificationBackend):
            return backend
    raise exceptions.Misconfigured("NumberVerificationBackend is not in AUTHENTICATION_BACKENDS")


def _takes_passwords(backend: Any) -> bool:
    """Tell whether accounts are known to log in there by their password: others may have permissions alone."""
    return isinstance(backend, ModelBackend) and "password" in signature(backend.authenticate).parameters


def _is_path(answer: str) -> bool:
    """Tell whether ``answer`` is a path of this site; //host/ is none."""
    return answer.startswith("/") and url_has_allowed_host_and_scheme(answer, allowed_hosts=None)


def _confirmed(request: HttpRequest, found: "list[User]") -> "User":
    """Return the signed-in user where the number is theirs, or is their first and nobody else's.

    Who has been signed in for long gets no first number: a session may be a thief's.
    """
    user: User = request.user  # type: ignore[assignment]  # the attempt's, who is signed in
    if not _is_alone(request, found) and (found or not session.has_just_come(request) or _has_number(user)):
        raise exceptions.UserMismatch
    return user


def _is_alone(request: HttpRequest, found: "list[User]") -> bool:
    """Tell whether who is signed in is the one user of ``found``."""
    return len(found) == 1 and session.is_same(found[0], request.user)


def _holder(request: HttpRequest, attempt: VerificationAttempt, found: "list[User]") -> "User | None":
    """Return who else has the number that is to be added, where NUMBER_TAKEN lets it go, or None: nobody has it."""
    others = [user for user in found if not session.is_same(user, request.user)]
    if not others:
        return None
    holder, *more = others
    record, decide = attempt.verified_number, conf.get().number_taken
    is_theirs = not more and record is not None and record.user_id == holder.pk  # not by a hook of the site's alone
    if not is_theirs or decide == "refuse" or decide(request, request.user, holder, attempt) is not True:
        raise exceptions.NumberTaken
    return holder


def _has_number(user: "User") -> bool:
    """Tell whether ``user`` has a number; tabs that prove two first numbers at once take turns, and one gets in."""
    list(get_user_model()._base_manager.select_for_update().filter(pk=user.pk).values_list("pk"))
    return VerifiedNumber.objects.filter(user=user.pk).exists()


def _touch(number: PhoneNumber, users: Manager[Any]) -> VerifiedNumber | None:
    """Date the proof of ``number``; return its VerifiedNumber with the user, or None where it has none.

    ``has_shown_user`` tells whether ``users``, the manager of the site's accounts, shows that one.

    The transaction begins with a write, so it waits for its turn: SQLite would let two begin by reading, and then
    refuse one of them its write.
    """
    if statements.can_prove(VerifiedNumber, users):
        return statements.prove(VerifiedNumber, users, number=number.e164, now=timezone.now())
    known = VerifiedNumber.objects.filter(number=number.e164)
    if not known.update(last_verified_at=timezone.now()):
        return None
    has_shown_user = Exists(users.filter(pk=OuterRef("user_id")))
    return known.select_related("user").annotate(has_shown_user=has_shown_user).get()  # type: ignore[no-redef]  # meant


@sensitive_variables()
def _enrol(user: "User", attempt: VerificationAttempt, number: PhoneNumber) -> bool:
    """Record whose number it is; return whether the number is new to them."""
    record = attempt.verified_number
    if record is None:
        attempt.verified_number = VerifiedNumber.objects.enrol(user, number, attempt.operator)
        return True
    if record.user_id != user.pk:
        if attempt.holder is None or attempt.holder.pk != record.user_id:
            raise exceptions.NumberTaken
        record.move(user, attempt.operator)
        return True
    if record.operator != attempt.operator:
        raise exceptions.OperatorNotBound  # an operator vouches for those whom it enrolled, and for nobody else
    return False
