"""A login that a desktop asked for and a phone answers: who is told by digests, never by number, token or code."""

import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings as django_settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ... import sealing
from ...models import GRACE, AuditManager, AuditRow, VerificationAttempt
from ...pruning import ENDED, ERASED, Chore
from .agents import Browser, System

LIFETIME = timedelta(minutes=3)  # of a QR code
CODE_LIFETIME = timedelta(minutes=1)  # that the short code has at least, however late the phone was
RENEWABLE = timedelta(minutes=15)  # in which the next QR code needs no number
CODE_LENGTH = 6  # digits
TRIES = 3  # of the code, then it is dead


class Status(models.TextChoices):
    SHOWN = "shown", _("Shown")
    ACCEPTED = "accepted", _("Accepted on the phone")
    PROVED = "proved", _("Number verified")
    FINISHED = "finished", _("Logged in")
    REFUSED = "refused", _("Refused")
    DECLINED = "declined", _("Declined on the phone")
    CODE_FAILED = "code_failed", _("Wrong codes")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


OPEN = (Status.SHOWN, Status.ACCEPTED, Status.PROVED)
SPENT = {"sealed": "", "sealed_code": "", "code_digest": None}  # of a row that is over
FORGOTTEN = SPENT | {"sealed_token": ""}  # of one that gets no next QR code without its number typed again


class QrManager(AuditManager["QrLogin"]):
    """Every change of a row is one conditional UPDATE, so that of several callers exactly one wins."""

    @sensitive_variables()
    def of_token(self, token: str) -> "QrLogin | None":
        """Return the row whose QR code says ``token``, or None."""
        return self.filter(token_digest=sealing.digest(token)).first()

    def of_browser(self, browser: str) -> "QrLogin | None":
        """Return the newest row that the desktop with the random value ``browser`` asked for, or None."""
        return self.filter(browser_digest=sealing.digest(browser)).order_by("-pk").first()

    def late(self, now: datetime) -> list[Chore]:
        """Return the Chores that end what nobody finished, and erase what it kept for the next QR code."""
        late = self.filter(status__in=OPEN, expires_at__lt=now - GRACE)
        kept = self.filter(created_at__lt=now - RENEWABLE).exclude(status__in=OPEN).exclude(sealed_token="")
        return [
            Chore(ENDED, late, {"status": Status.EXPIRED, "ended_at": now, **SPENT}),
            Chore(ERASED, kept, FORGOTTEN),
        ]


class QrLogin(AuditRow):
    """One QR code, from the desktop that shows it to the code that is typed there."""

    # The desktop: its browser, the key of its session (which every login changes), and who was signed in there.
    browser = models.CharField(_("browser"), max_length=16, choices=Browser, blank=True)
    system = models.CharField(_("system"), max_length=16, choices=System, blank=True)
    session_digest = models.UUIDField(null=True, editable=False)
    user: models.ForeignKey[AbstractBaseUser | None] = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="qr_logins",
        verbose_name=_("user"),
    )
    # The phone that said yes, and its newest attempt to prove the number.
    phone_digest = models.UUIDField(null=True, editable=False)
    attempt = models.OneToOneField(
        VerificationAttempt,
        models.SET_NULL,
        null=True,
        blank=True,
        # Else PostgreSQL looks here for each attempt that is pruned, which takes five times as long as all the rest.
        # Whatever deletes attempts, Django or pruning, empties this first.
        db_constraint=False,
        related_name="qr_login",
        verbose_name=_("verification attempt"),
    )
    status = models.CharField(_("status"), max_length=16, choices=Status, default=Status.SHOWN)
    tries = models.PositiveSmallIntegerField(_("codes typed"), default=0)
    token_digest = models.UUIDField(editable=False)
    code_digest = models.UUIDField(null=True, editable=False)
    # ``sealed`` opens with the token: number and operator; once the number is proved, with the code: the subscriber.
    # These open in one browser alone:
    sealed_token = models.TextField(blank=True, editable=False)  # the desktop's: token, number, operator, next
    sealed_code = models.TextField(blank=True, editable=False)  # the phone's: the short code

    LASTING = AuditRow.LASTING | {"browser", "system", "attempt", "status", "tries"}

    objects = QrManager()

    class Meta:
        verbose_name = _("QR login")
        verbose_name_plural = _("QR logins")
        constraints = [models.UniqueConstraint(fields=["token_digest"], name="numverify_qr_token")]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="numverify_qr_newest"),
            models.Index(fields=["reference"], name="numverify_qr_reference"),
            models.Index(fields=["number_digest", "address_digest", "-created_at"], name="numverify_qr_number"),
            models.Index(fields=["address_digest", "-created_at"], name="numverify_qr_address"),
            models.Index(fields=["browser_digest", "-created_at"], name="numverify_qr_browser"),
            models.Index(
                fields=["created_at"],
                name="numverify_qr_unfinished",
                condition=models.Q(status__in=OPEN) | ~models.Q(sealed_token=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference_shown} {self.get_status_display()}"

    @property
    def is_open(self) -> bool:
        """Whether the desktop may still be logged in."""
        return self.status in OPEN and self.expires_at > timezone.now()

    def move(self, *stages: Status, **columns: Any) -> bool:
        """Change ``columns`` where the row is open and at one of ``stages``; tell whether this call did it."""
        mine = QrLogin.objects.filter(pk=self.pk, status__in=stages, expires_at__gt=timezone.now())
        return self._update(mine, columns)

    def end(self, status: Status, **columns: Any) -> bool:
        """Give the row its last ``status`` and erase what it kept, unless it has one; tell whether this call did it."""
        columns = {"status": status, "ended_at": timezone.now(), **SPENT, **columns}
        return self._update(QrLogin.objects.filter(pk=self.pk, status__in=OPEN), columns)

    def _update(self, rows: models.QuerySet["QrLogin"], columns: dict[str, Any]) -> bool:
        won = bool(rows.update(**columns))
        for name, value in columns.items() if won else ():
            setattr(self, name, value)
        return won

    @sensitive_variables()
    def try_code(self, code: str) -> bool | None:
        """Spend one of TRIES on ``code`` and tell whether it is right; None where there is nothing to try any more."""
        mine = QrLogin.objects.filter(pk=self.pk, status=Status.PROVED, expires_at__gt=timezone.now())
        if not mine.filter(tries__lt=TRIES).update(tries=models.F("tries") + 1):
            return None
        self.refresh_from_db(fields=["tries"])
        known: UUID = self.code_digest  # type: ignore[assignment]  # where a number is proved there is one
        return secrets.compare_digest(self.digest_of(code).bytes, known.bytes)

    def digest_of(self, code: str) -> UUID:
        """Return the digest that stands for ``code``: a million codes are soon tried without the server's key."""
        return sealing.digest(self.key_of(code))

    def key_of(self, code: str) -> str:
        """Return the secret that ``code`` and the server have together, for this row alone."""
        return f"{code}:{self.token_digest}:{django_settings.SECRET_KEY}"
