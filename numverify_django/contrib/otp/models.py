"""The audit of codes, and django-otp's device that makes each code and checks it."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings as django_settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_otp.models import DeviceManager, SideChannelDevice

from ... import sealing
from ...models import (
    REFERENCE,
    REFERENCE_LENGTH,
    AuditManager,
    AuditRow,
    VerifiedNumber,
    address_digest,
    number_columns,
)
from ...protocol import exceptions
from ...protocol.phone import PhoneNumber
from ...pruning import ENDED, ERASED, Chore

LENGTH = 6  # digits of a code
LIFETIME = timedelta(minutes=10)
TRIES = 5  # wrong codes that end a code
PAUSE = timedelta(seconds=30)  # between two messages of one browser to one number: a form is easily sent twice


class Outcome(models.TextChoices):
    ASKED = "asked", _("Asked for")
    SENT = "sent", _("Sent")
    LOGGED_IN = "logged_in", _("Logged in")
    WRONG = "wrong", _("Wrong code")
    RIGHT = "right", _("Right code")  # and the login is under way
    EXPIRED = "expired", _("Expired")
    REFUSED = "refused", _("Refused")
    LIMITED = "limited", _("Too many wrong codes")
    FAILED = "failed", _("Failed")


PENDING = (Outcome.ASKED, Outcome.SENT, Outcome.WRONG, Outcome.RIGHT)  # what another outcome may follow
SPENT = (Outcome.RIGHT, Outcome.LOGGED_IN)
REFUSALS = (
    exceptions.AccountUnknown,
    exceptions.AccountInactive,
    exceptions.StaffRefused,
    exceptions.OperatorNotBound,
    exceptions.PolicyRefused,
    exceptions.Misconfigured,
)
REASONS = [(kind.code, _(kind.code.replace("_", " "))) for kind in REFUSALS]


class CodeLoginManager(AuditManager["CodeLogin"]):
    """Every change of a row is one conditional UPDATE, so that of several callers exactly one wins."""

    def open(self, *, number: PhoneNumber, browser: str, address: str | None, sealed: str) -> "CodeLogin":
        """Return the row of a code for ``number`` (a PhoneNumber), whether or not one will be sent."""
        now = timezone.now()
        return self.create(
            created_at=now,
            expires_at=now + LIFETIME,
            browser_digest=sealing.digest(browser),
            address_digest=address_digest(address),
            sealed=sealed,
            **number_columns(number),
        )

    def just_opened(self, number: PhoneNumber, browser: str) -> "CodeLogin | None":
        """Return the row that ``browser`` opened for ``number`` within PAUSE, while its code may be typed, or None."""
        digests = {"browser_digest": sealing.digest(browser), "number_digest": number_columns(number)["number_digest"]}
        row = self.filter(**digests, created_at__gt=timezone.now() - PAUSE).order_by("-pk").first()
        return row if row and row.is_open else None

    def called(self, reference: str, browser: str | None) -> "CodeLogin | None":
        """Return the row that ``reference`` names, if ``browser`` (text or None) opened it, or None."""
        if browser is None or not REFERENCE.fullmatch(reference):
            return None
        return self.filter(reference=reference, browser_digest=sealing.digest(browser)).first()

    def forget(self, browser: str) -> None:
        """Erase the numbers that ``browser`` typed."""
        self.filter(browser_digest=sealing.digest(browser)).exclude(sealed="").update(sealed="")

    def late(self, now: datetime) -> list[Chore]:
        """Return the Chores that end codes nobody typed in time, erase what they kept, and delete their devices."""
        late, devices = self.filter(expires_at__lt=now), CodeDevice.objects.filter(valid_until__lt=now)
        return [
            Chore(ENDED, late.filter(outcome__in=PENDING), {"outcome": Outcome.EXPIRED, "ended_at": now}),
            Chore(ERASED, late.exclude(sealed=""), {"sealed": ""}),
            Chore(ERASED, devices, by="valid_until"),
        ]


class CodeLogin(AuditRow):
    """A code that somebody asked for, and what became of it: never the code, and the number by digest and mask."""

    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome, default=Outcome.ASKED)
    reason = models.CharField(_("reason"), max_length=32, choices=REASONS, blank=True)
    tries = models.PositiveSmallIntegerField(_("codes typed"), default=0)
    user: models.ForeignKey[AbstractBaseUser | None] = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="code_logins",
        verbose_name=_("user"),
    )

    LASTING = AuditRow.LASTING | {"outcome", "reason", "tries"}

    objects = CodeLoginManager()
    # What a LOGIN_POLICY tells codes by; the rest of a VerificationAttempt that it may look at is set by the backend.
    operation, use = "code", "login"
    operator = ""
    verified_number: VerifiedNumber | None = None

    class Meta:
        verbose_name = _("code by text message")
        verbose_name_plural = _("codes by text message")
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="numverify_otp_newest"),
            models.Index(fields=["outcome", "-created_at", "-id"], name="numverify_otp_outcome"),
            models.Index(fields=["reference"], name="numverify_otp_reference"),
            models.Index(fields=["number_digest", "address_digest", "-created_at"], name="numverify_otp_number"),
            models.Index(fields=["address_digest", "-created_at"], name="numverify_otp_address"),
            models.Index(fields=["browser_digest", "-created_at"], name="numverify_otp_browser"),
            models.Index(
                fields=["created_at"],
                name="numverify_otp_unfinished",
                condition=models.Q(outcome__in=PENDING) | ~models.Q(sealed=""),
            ),
        ]

    @property
    def is_open(self) -> bool:
        """Whether a code may be typed: the same for a number that nothing was sent to."""
        return self.tries < TRIES and self.outcome not in SPENT and timezone.now() < self.expires_at

    @property
    def keeps_number(self) -> bool:
        """Whether a new code may be sent without typing the number again: a while after this one ran out as well."""
        return timezone.now() < self.expires_at + LIFETIME

    def take_try(self) -> bool:
        """Tell whether one more code may be typed, and count it."""
        now, mine = timezone.now(), CodeLogin.objects.filter(pk=self.pk)
        may = mine.filter(tries__lt=TRIES, expires_at__gt=now).exclude(outcome__in=SPENT)
        has_won = may.update(tries=models.F("tries") + 1)
        if not has_won:
            mine.filter(expires_at__lte=now, outcome__in=PENDING).update(outcome=Outcome.EXPIRED, ended_at=now)
        self.refresh_from_db(fields=["tries", "outcome"])
        return bool(has_won)

    def note_try(self, is_right: bool) -> None:
        """Record whether the code typed was the one."""
        if is_right:  # also of a message that the sender took for failed: it was received
            self.end(Outcome.RIGHT, after=(*PENDING, Outcome.FAILED), reason="")
        else:
            self.end(Outcome.WRONG if self.tries < TRIES else Outcome.LIMITED)

    def end(self, outcome: Outcome, after: Collection[Outcome] = PENDING, **columns: Any) -> bool:
        """Record ``outcome`` and tell whether the one before it was one of ``after``: it was not final."""
        columns |= {"outcome": outcome, "ended_at": None if outcome in PENDING else timezone.now()}
        has_won = CodeLogin.objects.filter(pk=self.pk, outcome__in=after).update(**columns)
        for name, value in columns.items() if has_won else ():
            setattr(self, name, value)
        return bool(has_won)


class CodeDeviceManager(DeviceManager):
    """Codes that are under way."""

    def issue(self, login: CodeLogin, record: VerifiedNumber, browser: str) -> str:
        """Return a new code (text) for ``login``; the one before it, of this browser and VerifiedNumber, ends."""
        self.filter(number=record, browser_digest=login.browser_digest).delete()
        # Not confirmed: a site that uses django-otp must not take it for a second factor.
        device: CodeDevice = self.model(user_id=record.user_id, number=record, confirmed=False)
        device.browser_digest, device.reference = login.browser_digest, login.reference
        return device.renew(browser)


class CodeDevice(SideChannelDevice):
    """One browser's code for one number.

    What is kept in ``token`` is no code but its digest under the browser's random value and the server's key: in
    another browser the code is of no use, nor is the row to whoever reads the database.
    """

    number = models.ForeignKey(VerifiedNumber, models.CASCADE, related_name="+")
    browser_digest = models.UUIDField(editable=False)
    reference = models.CharField(max_length=REFERENCE_LENGTH, editable=False)  # of the CodeLogin

    objects: ClassVar[CodeDeviceManager] = CodeDeviceManager()

    class Meta:
        indexes = [models.Index(fields=["browser_digest", "reference"], name="numverify_otp_device")]

    def __str__(self) -> str:
        return self.reference

    def renew(self, browser: str) -> str:
        """Return a new code (text), and keep its digest."""
        self.generate_token(LENGTH, LIFETIME.total_seconds(), commit=False)  # type: ignore[no-untyped-call]  # no types
        code: str = self.token  # type: ignore[assignment]  # now there is one
        self.token = _bound(code, browser)
        self.save()
        return code

    def accepts(self, code: str, browser: str | None) -> bool:
        """Tell whether ``code`` (text) is the one, and end it if so."""
        is_right: bool = self.verify_token(_bound(code, browser))  # type: ignore[no-untyped-call]  # no types
        return is_right


def _bound(code: str, browser: str | None) -> str:
    return sealing.digest(code, f"{browser}:{django_settings.SECRET_KEY}").hex[:16]
