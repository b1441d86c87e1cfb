"""The audit row, which is also the single-use state store, and the numbers that were proved."""

import ipaddress
import re
import secrets
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.debug import sensitive_variables

from . import conf, pruning, sealing, statements
from .protocol import exceptions
from .protocol.messages import Secret
from .protocol.phone import E164, PhoneNumber
from .protocol.profiles import SHARE, VERIFY, Operator
from .pruning import DELETED, ENDED, ERASED, Chore

REFERENCE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # none that are mistaken for one another
REFERENCE_LENGTH = 7
REFERENCE = re.compile(f"[{REFERENCE_ALPHABET}]{{{REFERENCE_LENGTH}}}")
OPEN_MAX = 20  # attempts that one browser may have open at once
GRACE = timedelta(seconds=60)  # what a claimed attempt may need beyond its lifetime
CALLBACK = "callback"  # among the timings: the whole of it, from the claim to the outcome

Row = TypeVar("Row", bound="AuditRow")


def reference() -> str:
    """Return a random reference for people: it finds the row, tells nothing, and is never taken for a number."""
    while True:
        found = "".join(secrets.choice(REFERENCE_ALPHABET) for _ in range(REFERENCE_LENGTH))
        if not found.isdecimal():
            return found


@dataclass(frozen=True, slots=True)
class Opened(Secret):
    """What an attempt must remember until its callback, sealed on the row under the raw state."""

    redirect_uri: str
    fingerprint: str
    next_url: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    number: str | None = field(default=None, repr=False)

    @property
    def phone_number(self) -> PhoneNumber | None:
        """The PhoneNumber to verify, or None where the operator is to tell it."""
        return PhoneNumber(self.number) if self.number else None


class AuditManager(models.Manager[Row]):
    """What ``numverify_prune`` prunes."""

    def prune(self, now: datetime | None = None) -> tuple[int, int]:
        """End what nobody finished, delete what is older than RETENTION_DAYS; return both counts."""
        done = pruning.run(self.chores(now or timezone.now())).done
        return done[ENDED], done[DELETED]

    def chores(self, now: datetime) -> list[Chore]:
        """Return what pruning has to do at ``now``, as Chores in their order."""
        old = self.filter(created_at__lt=now - timedelta(days=conf.get().retention_days))
        return [*self.late(now), Chore(DELETED, old)]

    def late(self, now: datetime) -> list[Chore]:
        """Return the Chores that end what nobody finished, and erase what it kept."""
        raise NotImplementedError


class AttemptManager(AuditManager["VerificationAttempt"]):
    """Every change of an attempt is one conditional UPDATE, so that of several callers exactly one wins."""

    @sensitive_variables()
    def open(
        self,
        *,
        state: str,
        browser: str,
        operator: Operator,
        operation: str,
        use: str,
        opened: Opened,
        user: AbstractBaseUser | None = None,
        address: str | None = None,
        timings: dict[str, int] | None = None,
        unless: Iterable[statements.Nth] = (),
    ) -> "VerificationAttempt | None":
        """Return a pending attempt that ``state`` and ``browser`` (random texts) together can claim.

        ``timings`` is what was asked of the operator so far: a dict of milliseconds by hop. Returns None where there is
        one of ``unless`` (each a statements.Nth).
        """
        number, now = opened.phone_number, timezone.now()
        attempt = self.model(
            created_at=now,
            expires_at=now + timedelta(seconds=conf.get().attempt_lifetime),
            state_digest=sealing.digest(state),
            browser_digest=sealing.digest(browser),
            address_digest=address_digest(address),
            operator=operator.name,
            operation=operation,
            use=use,
            user=user,  # type: ignore[misc]  # the stubs know one site's user model
            sealed=sealing.seal(state, asdict(opened)),
            timings=timings or {},
            **number_columns(number),
        )
        return attempt if statements.insert(attempt, *unless) else None

    @sensitive_variables()
    def claim(self, state: str, browser: str) -> "tuple[VerificationAttempt, Opened]":
        """Return the attempt and what it Opened to the one caller that may finish it.

        Raises StateUnknown, ForeignBrowser, Replayed or Expired; a foreign browser changes nothing.
        """
        digests = {"state_digest": sealing.digest(state), "browser_digest": sealing.digest(browser)}
        take, now = self._take_at_once if statements.are_known(self.model) else self._take, timezone.now()
        attempt = take(now, **digests)
        if attempt is None:
            raise self._refusal(state, now, **digests)
        attempt.begun = time.monotonic()
        try:
            return attempt, Opened(**sealing.unseal(state, attempt.was_sealed))
        except TypeError:  # another version of this app sealed it
            late = exceptions.Expired()
            attempt.fail(late)
            raise _about(attempt, late, "") from None

    def _take_at_once(self, now: datetime, **digests: uuid.UUID) -> "VerificationAttempt | None":
        return statements.claim(self.model, now=now, pending=Outcome.PENDING.value, **digests)

    def _take(self, now: datetime, **digests: uuid.UUID) -> "VerificationAttempt | None":
        """Claim and return the pending attempt of these digests, or None; what was sealed is its ``was_sealed``."""
        attempt = self.filter(**digests).first()
        mine = {"pk": attempt and attempt.pk, "claimed_at": None, "expires_at__gt": now, **PENDING}
        if attempt is None or not self.filter(**mine).update(claimed_at=now, sealed=""):
            return None
        attempt.claimed_at, attempt.sealed, attempt.was_sealed = now, "", attempt.sealed
        return attempt

    def _refusal(
        self, state: str, now: datetime, state_digest: uuid.UUID, browser_digest: uuid.UUID
    ) -> exceptions.NumberVerifyError:
        """Return why there is nothing to claim; an attempt that is too late is ended."""
        attempt = self.filter(state_digest=state_digest).first()
        if attempt is None:
            return exceptions.StateUnknown()
        if attempt.browser_digest != browser_digest:
            return exceptions.ForeignBrowser()
        late = exceptions.Expired()
        mine = {"pk": attempt.pk, "claimed_at": None, "expires_at__lte": now, **PENDING}
        if not self.filter(**mine).update(**ending(late)):
            return exceptions.Replayed()
        return _about(attempt, late, sealing.unseal(state, attempt.sealed).get("next_url", ""))

    @sensitive_variables()
    def tidy(self, browser: str) -> None:
        """End what ``browser`` left open too long or too often, and erase what its failed attempts kept for a retry."""
        mine = self.filter(browser_digest=sealing.digest(browser)).order_by("-created_at")
        rows = list(mine.filter(~models.Q(sealed="") | models.Q(outcome=Outcome.PENDING)))
        now, pending = timezone.now(), [row for row in rows if not row.is_over]
        self._end([row.pk for row in pending if row.expires_at < now - GRACE], exceptions.Expired())
        self._end([row.pk for row in pending[OPEN_MAX:]], exceptions.Cancelled())
        # A number that fills a form stays until its lifetime is over.
        kept = [row for row in rows if row.is_over and (row.outcome != Outcome.VERIFIED or row.expires_at < now)]
        if kept:
            self.filter(pk__in=[row.pk for row in kept]).update(sealed="")

    def cancel(self, user: AbstractBaseUser, uses: Iterable[str]) -> None:
        """End what is open of ``user`` for these ``uses``."""
        self.filter(user=user.pk, use__in=uses, **PENDING).update(**ending(exceptions.Cancelled()))

    def _end(self, keys: list[int], error: exceptions.Abandoned) -> None:
        if keys:
            self.filter(pk__in=keys, **PENDING).update(**ending(error))

    def late(self, now: datetime) -> list[Chore]:
        """Return the Chores that end attempts nobody finished, and erase what failed ones kept for a retry."""
        late = self.filter(expires_at__lt=now - GRACE)
        pending, kept = late.filter(outcome=Outcome.PENDING), late.exclude(sealed="")
        return [Chore(ENDED, pending, ending(exceptions.Expired())), Chore(ERASED, kept, {"sealed": ""})]


class Outcome(models.TextChoices):
    PENDING = "pending", _("Pending")
    VERIFIED = "verified", _("Verified")
    MISMATCH = "mismatch", _("Mismatch")
    UNAVAILABLE = "unavailable", _("Unavailable")
    REFUSED = "refused", _("Refused")
    ERROR = "error", _("Error")
    ABANDONED = "abandoned", _("Abandoned")


# Of a row that is found by its key, asked in a way that no index answers. Where few are pending, MariaDB looks along
# the index of outcomes and locks its entry before the row; pruning locks the row before the entry: a deadlock.
PENDING = {"outcome__endswith": Outcome.PENDING}
IS_PENDING = ("outcome LIKE %s", [f"%{Outcome.PENDING.value}"])


class Use(models.TextChoices):
    """What a number is proved for. REVERIFY is a STEP_UP that nobody asked for: REVERIFY_AFTER did."""

    LOGIN = "login", pgettext_lazy("numverify", "Log in")
    STEP_UP = "step_up", _("Confirm")
    REVERIFY = "reverify", _("Confirm again")
    LINK = "link", _("Add a number")
    FILL = "fill", _("Fill a form")
    QR = "qr", _("Log in on another device")
    APP = "app", _("Log in in an app")


REASONS = [(kind.code, _(kind.code.replace("_", " "))) for kind in exceptions.leaves() if kind.outcome]


class AuditRow(models.Model):
    """What every audit has, and what limits are counted on: who is told by digests and a mask, never by the number."""

    reference = models.CharField(_("reference"), max_length=REFERENCE_LENGTH, default=reference, editable=False)
    created_at = models.DateTimeField(_("started"))
    expires_at = models.DateTimeField(_("open until"))
    ended_at = models.DateTimeField(_("ended"), null=True)
    number_shown = models.CharField(_("number"), max_length=16, blank=True)
    number_digest = models.UUIDField(null=True, editable=False)
    browser_digest = models.UUIDField(editable=False)
    address_digest = models.UUIDField(null=True, editable=False)
    sealed = models.TextField(blank=True, editable=False)

    # The fields that tell of nobody: they outlast ``numverify_forget``. Every other one is emptied or made random.
    LASTING = frozenset({"id", "created_at", "expires_at", "ended_at"})

    objects: AuditManager[Any]

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.reference_shown} {self.get_outcome_display()}"  # type: ignore[attr-defined]  # of a subclass

    @property
    def reference_shown(self) -> str:
        """The reference as people read it: K7Q-4MX2."""
        return f"{self.reference[:3]}-{self.reference[3:]}"


class VerificationAttempt(AuditRow):
    """One try to prove a number to an operator."""

    correlator = models.UUIDField(_("correlator"), default=uuid.uuid4, editable=False)
    claimed_at = models.DateTimeField(_("came back"), null=True)
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome, default=Outcome.PENDING)
    reason = models.CharField(_("reason"), max_length=32, choices=REASONS, blank=True)
    operator = models.CharField(_("operator"), max_length=64)
    operation = models.CharField(_("operation"), max_length=8, choices=[(VERIFY, _("Verify")), (SHARE, _("Share"))])
    use = models.CharField(_("use"), max_length=8, choices=Use)
    user: models.ForeignKey[AbstractBaseUser | None] = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="verification_attempts",
        verbose_name=_("user"),
    )
    state_digest = models.UUIDField(editable=False)
    timings = models.JSONField(_("timings"), default=dict, editable=False)  # hop, or CALLBACK -> milliseconds

    LASTING = AuditRow.LASTING | {"claimed_at", "outcome", "reason", "operator", "operation", "use", "timings"}

    objects = AttemptManager()
    # In memory only, while a callback is handled:
    begun: float | None = None  # when it was claimed (seconds of time.monotonic)
    was_sealed = ""  # until it was claimed
    verified_number: "VerifiedNumber | None" = None  # of the proof, if there is one already
    detour = ""  # where LOGIN_POLICY sends the person before the login completes
    holder: AbstractBaseUser | None = None  # the account that NUMBER_TAKEN lets the number leave
    is_told = False  # whether Django has sent its own user_login_failed

    class Meta:
        verbose_name = _("verification attempt")
        verbose_name_plural = _("verification attempts")
        permissions = [("export_verificationattempt", "Can export verification attempts")]
        constraints = [models.UniqueConstraint(fields=["state_digest"], name="numverify_state")]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="numverify_newest"),
            models.Index(fields=["outcome", "-created_at", "-id"], name="numverify_outcome"),
            models.Index(fields=["reason", "-created_at", "-id"], name="numverify_reason"),
            models.Index(fields=["operator", "-created_at", "-id"], name="numverify_operator"),
            models.Index(fields=["use", "-created_at", "-id"], name="numverify_use"),
            models.Index(fields=["reference"], name="numverify_reference"),
            models.Index(fields=["number_digest", "address_digest", "-created_at"], name="numverify_number"),
            models.Index(fields=["address_digest", "-created_at"], name="numverify_address"),
            models.Index(fields=["browser_digest", "outcome"], name="numverify_browser"),
            models.Index(
                fields=["created_at"],
                name="numverify_unfinished",
                condition=models.Q(outcome=Outcome.PENDING) | ~models.Q(sealed=""),
            ),
        ]

    @property
    def is_over(self) -> bool:
        """Whether the attempt has its terminal outcome."""
        return self.outcome != Outcome.PENDING

    def succeed(
        self,
        user: AbstractBaseUser | None,
        number: PhoneNumber,
        kept: str = "",
        condition: statements.Condition | None = None,
    ) -> None:
        """Record that ``number`` was proved for ``user``; ``kept`` is sealed text.

        Raises Expired where it is over, or where ``condition`` (SQL and its values) is not true.
        """
        proved = {"outcome": Outcome.VERIFIED, "ended_at": timezone.now(), "sealed": kept} | number_columns(number)
        if not self._end(condition, user_id=user and user.pk, **proved):
            raise exceptions.Expired
        self.user = user

    def fail(self, error: exceptions.NumberVerifyError, kept: str = "") -> bool:
        """Record ``error`` (a NumberVerifyError) and tell whether there was no outcome yet; ``kept`` is sealed text."""
        return self._end(**ending(error) | {"sealed": kept})

    def _end(self, condition: statements.Condition | None = None, **columns: Any) -> bool:
        """Tell whether this call gave the attempt its one terminal outcome."""
        columns["timings"] = self.timings | self._callback_time()
        conditions = [] if condition is None else [condition]
        won = statements.change(self, columns, IS_PENDING, *conditions)
        for name, value in columns.items() if won else ():
            setattr(self, name, value)
        return won

    def _callback_time(self) -> dict[str, int]:
        return {} if self.begun is None else {CALLBACK: round((time.monotonic() - self.begun) * 1000)}


class AttemptHour(models.Model):
    """How the attempts that began in one hour ended, counted when none of them was open any more: about nobody."""

    began_at = models.DateTimeField(unique=True)
    counts = models.JSONField()  # rows of operator, outcome, reason, attempts
    # operator -> [milliseconds of the callback, ...], [attempts of each, ...]: a month of it is read in one go
    times = models.JSONField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.began_at:%Y-%m-%d %H}"


def audits() -> list[type[AuditRow]]:
    """Return the models of all audits; what the others refer to, the attempts, comes last."""
    found = [model for model in apps.get_models() if issubclass(model, AuditRow)]
    return sorted(found, key=lambda model: model is VerificationAttempt)


def chores(now: datetime) -> list[Chore]:
    """Return the Chores of all audits at ``now``: what is open or kept comes first, deleting may take long."""
    found = [chore for audit in audits() for chore in audit.objects.chores(now)]
    return sorted(found, key=lambda chore: chore.verb == DELETED)


class NumberManager(models.Manager["VerifiedNumber"]):
    """Numbers of accounts."""

    def enrol(self, user: AbstractBaseUser, number: PhoneNumber, operator: str) -> "VerifiedNumber":
        """Let ``number`` (a PhoneNumber that ``operator``, by name, vouched for just now) log in to ``user``.

        Returns the VerifiedNumber; raises IntegrityError where it logs in to an account already.
        """
        now = timezone.now()
        dates = {"first_verified_at": now, "last_verified_at": now}
        return self.create(user_id=user.pk, number=number.e164, operator=operator, **dates)


class VerifiedNumber(models.Model):
    """A number that a SIM proved for an account: what logging in by number goes by."""

    user: models.ForeignKey[AbstractBaseUser] = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="verified_numbers",
        verbose_name=_("user"),
    )
    number = models.CharField(_("number"), max_length=16)
    operator = models.CharField(_("operator"), max_length=64)
    first_verified_at = models.DateTimeField(_("first verified"))
    last_verified_at = models.DateTimeField(_("last verified"))
    subscriber_digest = models.UUIDField(null=True, editable=False)

    objects = NumberManager()
    has_shown_user = True  # in memory only, while a login completes: whether the manager of accounts shows the user

    class Meta:
        verbose_name = _("verified number")
        verbose_name_plural = _("verified numbers")
        indexes = [models.Index(fields=["-first_verified_at", "-id"], name="numverify_number_newest")]
        constraints = [
            models.UniqueConstraint(fields=["number"], name="numverify_number_once"),
            # save() is not asked by bulk_create, update, fixtures and migrations.
            models.CheckConstraint(condition=models.Q(number__regex=f"^{E164.pattern}$"), name="numverify_number_e164"),
        ]

    def __str__(self) -> str:
        return self.phone_number.masked

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, or raise ValueError: a number in any other spelling than E.164 would never be found again."""
        PhoneNumber(self.number)
        super().save(*args, **kwargs)

    @property
    def phone_number(self) -> PhoneNumber:
        """The PhoneNumber."""
        return PhoneNumber(self.number)

    def move(self, user: AbstractBaseUser, operator: str) -> None:
        """Let ``user`` have this number from now on, as the operator called ``operator`` vouched for just now."""
        self.user, self.operator, self.first_verified_at = user, operator, self.last_verified_at
        self.save(update_fields=["user", "operator", "first_verified_at"])

    def rebind(self, operator: str) -> None:
        """Let the operator called ``operator`` vouch for this number from now on: it was ported."""
        self.operator = operator
        self.save(update_fields=["operator"])

    def note_subscriber(self, subscriber: str) -> bool:
        """Record the operator's customer (text, "" where unknown) and tell whether it was another one before."""
        if not subscriber:
            return False
        newest, *older = [sealing.digest(subscriber, pepper) for pepper in every_pepper()]
        if self.subscriber_digest == newest:
            return False
        before, self.subscriber_digest = self.subscriber_digest, newest
        self.save(update_fields=["subscriber_digest"])
        return before is not None and before not in older


def ending(error: exceptions.NumberVerifyError) -> dict[str, Any]:
    """Return the columns of an attempt that ``error`` (a NumberVerifyError) ends."""
    return {"outcome": error.outcome, "reason": error.code, "ended_at": timezone.now(), "sealed": ""}


def _about(attempt: VerificationAttempt, late: exceptions.Expired, next_url: str) -> exceptions.Expired:
    """Return ``late`` with what the browser of ``attempt`` is shown."""
    late.use, late.reference, late.next_url = attempt.use, attempt.reference_shown, next_url
    return late


def address_digest(address: str | None) -> uuid.UUID | None:
    """Return a keyed digest of a client's address (text or None); the /64 of an IPv6 customer counts as one."""
    return address_digests(address)[0]


def address_digests(address: str | None) -> list[uuid.UUID | None]:
    """Return the keyed digests that ``address`` (text or None) has or had, one a pepper, newest first."""
    if address is None:
        return [None]
    network = ipaddress.ip_network(address)
    network = network.supernet(new_prefix=64) if network.version == 6 else network
    return [sealing.digest(str(network), pepper) for pepper in conf.get().peppers]


def number_columns(number: PhoneNumber | None) -> dict[str, Any]:
    """Return the columns that stand for ``number`` (a PhoneNumber or None): what is shown, and a keyed digest."""
    if number is None:
        return {}
    shown = number.e164 if conf.get().store_number == "full" else number.masked
    return {"number_shown": shown, "number_digest": number_digests(number)[0]}


def number_digests(number: PhoneNumber) -> list[uuid.UUID]:
    """Return the keyed digests that ``number`` (a PhoneNumber) has or had, one a pepper, newest first."""
    return [sealing.digest(number.e164, pepper) for pepper in conf.get().peppers]


def known_digests(number: PhoneNumber) -> list[uuid.UUID]:
    """Return those, and the ones of before PEPPERS was set: for looking a person up, and not for limits."""
    return [sealing.digest(number.e164, pepper) for pepper in every_pepper()]


def every_pepper() -> tuple[str, ...]:
    """Return every pepper that a row may be under, newest first."""
    return conf.get().peppers + conf.get().former_peppers
