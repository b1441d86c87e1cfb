"""The verbs of a QR login: the desktop shows and finishes, the phone accepts or declines.

Nobody's word is enough alone. The desktop has the session that asked, and the number that was typed there; the phone
has the token of the QR code, the SIM of that number, and then the short code, which only its own browser can read.
The desktop is logged in where the code is typed in the session that asked.

Who may log in is decided then, with the desktop's request, and not at the phone's callback: LOGIN_POLICY must see the
browser that is to be logged in, minutes may have changed the account, and a QR code that a stranger sent around makes
no account and dates no proof. Until then the phone's attempt stays open, claimed and paid.
"""

import logging
import secrets
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import UUID

from django.conf import settings as django_settings
from django.contrib.auth import logout
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.db import DatabaseError
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ... import conf, flow, limits, sealing, session, uses
from ...models import Outcome, Use, VerificationAttempt, address_digest, number_columns
from ...protocol import profiles
from ...protocol.exceptions import (
    Abandoned,
    AccessDenied,
    Cancelled,
    CodeFailed,
    Expired,
    Misconfigured,
    NumberVerifyError,
)
from ...protocol.messages import Verification
from ...protocol.phone import PhoneNumber
from ...protocol.profiles import Operator
from . import agents
from .models import CODE_LENGTH, CODE_LIFETIME, FORGOTTEN, LIFETIME, OPEN, RENEWABLE, TRIES, QrLogin, Status

logger = logging.getLogger(__name__)


# The desktop


@sensitive_variables()
def show(request: HttpRequest, operator: Operator, number: PhoneNumber, next_url: str) -> QrLogin:
    """Ask for a login of ``number`` in this browser, whose earlier QR codes end; the operator is not asked yet.

    Raises TooManyTries, or OperatorUnavailable: it has been out of order.
    """
    browser, address = session.bind_browser(request), session.client_address(request)
    limits.Circuit(operator).check()
    limits.check_tries(QrLogin.objects, number, browser, address)
    _require_https(request, operator)
    for earlier in QrLogin.objects.filter(browser_digest=sealing.digest(browser), status__in=OPEN):
        end(request, earlier, Status.CANCELLED, Cancelled(), **FORGOTTEN)
    now, token = timezone.now(), secrets.token_urlsafe(32)
    facts = {"number": number.e164, "operator": operator.name}
    return QrLogin.objects.create(
        created_at=now,
        expires_at=now + LIFETIME,
        browser=agents.browser_of(request.headers),
        system=agents.system_of(request.headers),
        user=request.user if request.user.is_authenticated else None,
        token_digest=sealing.digest(token),
        browser_digest=sealing.digest(browser),
        session_digest=_session_digest(request),
        address_digest=address_digest(address),
        sealed=sealing.seal(token, facts),
        sealed_token=session.keep(request, **facts, token=token, next=next_url),
        **number_columns(number),
    )


def of_desktop(request: HttpRequest) -> QrLogin | None:
    """Return the newest QR login that this browser asked for, or None; it ends where the session is another since."""
    browser = session.browser_of(request)
    row = QrLogin.objects.of_browser(browser) if browser else None
    if row and row.is_open and not _is_same(request, row):
        end(request, row, Status.CANCELLED, Cancelled(), **FORGOTTEN)
    return row


def kept(request: HttpRequest, row: QrLogin) -> dict[str, Any]:
    """Return what ``row`` keeps for its desktop: token, number, operator and next; or {}, if that is too long ago."""
    if not row.sealed_token or timezone.now() > row.created_at + RENEWABLE:
        return {}
    return session.unsealed(session.browser_of(request), row.sealed_token)


def address_of(request: HttpRequest, facts: dict[str, Any]) -> str:
    """Return what the QR code of ``facts`` says: the phone's page, on the host that the operator sends it back to."""
    operator = conf.get().operator(facts["operator"])
    if operator is None:
        raise Misconfigured("the operator of this QR code is no more in the settings")
    path = reverse("numverify_qr:phone", args=[facts["token"]])
    return urljoin(flow.redirect_uri(request, operator), path)


@sensitive_variables()
def finish(request: HttpRequest, row: QrLogin, code: str) -> tuple[bool | None, NumberVerifyError | None]:
    """Log in this desktop where ``code`` is the one its phone shows; return whether it was, and what forbade it.

    The first is None where the QR login is over; the second is None, or the NumberVerifyError that ended the attempt.
    """
    is_right = row.try_code(code)
    if is_right is False and row.tries >= TRIES:
        end(request, row, Status.CODE_FAILED, CodeFailed())
    if not is_right:
        return is_right, None
    facts, sealed = kept(request, row), row.sealed
    if not row.move(Status.PROVED, status=Status.FINISHED, ended_at=timezone.now(), **FORGOTTEN):
        return None, None
    with uses.ending() as ended:
        _admit(request, row, facts, row.key_of(code), sealed)
    if ended.error:
        _refuse(request, row, ended.error)
    return True, ended.error


@sensitive_variables()
def _admit(request: HttpRequest, row: QrLogin, facts: dict[str, Any], key: str, sealed: str) -> None:
    if row.attempt is None or not facts:
        raise Cancelled("what this QR login needs was deleted meanwhile")
    verification = Verification(PhoneNumber(facts["number"]), sealing.unseal(key, sealed)["subscriber"])
    uses.admit(request, row.attempt, verification)
    QrLogin.objects.filter(pk=row.pk).update(user=row.attempt.user)


def _refuse(request: HttpRequest, row: QrLogin, error: NumberVerifyError) -> None:
    """Record that ``error`` kept the desktop out, and leave nobody half logged in."""
    QrLogin.objects.filter(pk=row.pk).update(status=Status.REFUSED)
    row.status = Status.REFUSED
    _fail(request, row.attempt, error)
    if row.attempt and row.attempt.outcome == Outcome.VERIFIED and row.user_id is None:
        logout(request)


# The phone


@sensitive_variables()
def of_phone(request: HttpRequest, token: str) -> QrLogin | None:
    """Return the QR login of ``token``, or None where there is none or another phone has said yes to it."""
    row = QrLogin.objects.of_token(token)
    browser = session.browser_of(request)
    if row is None or row.phone_digest not in (None, browser and sealing.digest(browser)):
        return None
    return row


def is_asking(request: HttpRequest, row: QrLogin) -> bool:
    """Tell whether this browser is the one that asked: it cannot answer for itself."""
    browser = session.browser_of(request)
    return browser is not None and row.browser_digest == sealing.digest(browser)


@sensitive_variables()
async def accept(
    request: HttpRequest, row: QrLogin, token: str, here: str
) -> tuple[VerificationAttempt | None, str | None]:
    """Let this phone prove the number; return its attempt and the URL to send it to, as flow.begin does.

    Returns (None, None) where it is too late. Raises what flow.begin raises. ``here`` is where it comes back to.
    """
    phone = sealing.digest(session.bind_browser(request))
    facts = sealing.unseal(token, row.sealed) if row.status != Status.PROVED and row.sealed else {}
    operator = conf.get().operator(facts.get("operator", ""))
    if operator is None or not _bind(row, phone):
        return None, None
    number = PhoneNumber(facts["number"])
    attempt, url = await flow.begin(request, operator, number, use=Use.QR, next_url=here, user=row.user)
    if url is not None and not row.move(Status.ACCEPTED, attempt=attempt):
        _fail(request, attempt, Cancelled())
        return None, None
    return attempt, url


def _bind(row: QrLogin, phone: UUID) -> bool:
    """Make ``row`` that phone's alone, and tell whether it is."""
    free = QrLogin.objects.filter(Q(phone_digest=None) | Q(phone_digest=phone), pk=row.pk)
    stages = [Status.SHOWN, Status.ACCEPTED]
    here = free.filter(status__in=stages, expires_at__gt=timezone.now())
    return bool(here.update(status=Status.ACCEPTED, phone_digest=phone))


def decline(request: HttpRequest, row: QrLogin) -> None:
    """End ``row``: the person at the phone did not ask for it."""
    end(request, row, Status.DECLINED, AccessDenied("declined on the phone"), **FORGOTTEN)


def code_of(request: HttpRequest, row: QrLogin) -> str:
    """Return the short code of ``row`` where this is the browser that proved the number, or an empty text."""
    browser = session.browser_of(request)
    return session.unsealed(browser, row.sealed_code).get("code", "") if browser and row.sealed_code else ""


class LogInDesktop(uses.Purpose):
    """Show a code on the phone that proved the number; nobody is logged in on it."""

    def require(self, request: HttpRequest, attempt: VerificationAttempt) -> None:
        """Raise Expired or Cancelled where the desktop does not wait for this attempt any more."""
        row = QrLogin.objects.filter(attempt=attempt).first()
        if row is None or row.status != Status.ACCEPTED:
            raise Cancelled("the desktop does not wait for it any more")
        if not row.is_open:
            raise Expired

    @sensitive_variables()
    def complete(self, request: HttpRequest, claimed: flow.Claimed, verification: Verification) -> None:
        """Leave the attempt open until the code is typed on the desktop, and seal the code for this phone alone."""
        session.require(request)
        row = QrLogin.objects.filter(attempt=claimed.attempt).first()
        if row is None or not _prove(request, row, claimed.attempt, verification):
            raise Cancelled("the desktop does not wait for it any more")

    def failure(self, next_url: str) -> dict[str, Any]:
        """Lead back to the QR code's page; whoever is signed in on this phone, it is not about them."""
        return {"again_url": next_url, "signed_in": False, "fallback_url": "", "typed_elsewhere": True}

    def is_told_there(self, error: NumberVerifyError) -> bool:
        """The QR code's page says that it has ended."""
        return isinstance(error, Abandoned)


@sensitive_variables()
def _prove(request: HttpRequest, row: QrLogin, attempt: VerificationAttempt, verification: Verification) -> bool:
    """Give ``row`` its short code, and tell whether it still waited for one."""
    code = f"{secrets.randbelow(10**CODE_LENGTH):0{CODE_LENGTH}}"
    return row.move(
        Status.ACCEPTED,
        status=Status.PROVED,
        attempt=attempt,  # whatever was begun meanwhile, this is the one that proved it
        expires_at=max(row.expires_at, timezone.now() + CODE_LIFETIME),
        code_digest=row.digest_of(code),
        sealed=sealing.seal(row.key_of(code), {"subscriber": verification.subscriber}),
        sealed_code=session.keep(request, code=code),
    )


# Both


def end(request: HttpRequest, row: QrLogin, status: Status, error: NumberVerifyError, **columns: Any) -> None:
    """End ``row`` with ``status`` and its attempt, if there is an open one, with ``error`` (a NumberVerifyError)."""
    if row.end(status, **columns):
        _fail(request, row.attempt, error)


def _fail(request: HttpRequest, attempt: VerificationAttempt | None, error: NumberVerifyError) -> None:
    if attempt is None:
        return
    try:
        flow.fail(request, attempt, error)
    except DatabaseError as broken:  # the attempt is ended by the next start or by pruning
        logger.error("attempt %s could not be ended: %s", attempt.reference_shown, type(broken).__name__)


def _is_same(request: HttpRequest, row: QrLogin) -> bool:
    """Tell whether the desktop's session is as it was: nobody logged in or out, and it has the same key."""
    return row.user_id == request.user.pk and row.session_digest == _session_digest(request)


def _session_digest(request: HttpRequest) -> UUID | None:
    """Return a digest of the session's key, or None where the cookie is the session and has none."""
    if isinstance(request.session, SignedCookies):
        return None
    if not request.session.session_key:
        request.session.save()
    return sealing.digest(request.session.session_key)  # type: ignore[arg-type]  # once it is saved there is one


def _require_https(request: HttpRequest, operator: Operator) -> None:
    url = urlsplit(flow.redirect_uri(request, operator))
    if url.scheme != "https" and not (django_settings.DEBUG or profiles.is_loopback(url.hostname)):
        raise Misconfigured("a QR code must lead to https: see SECURE_PROXY_SSL_HEADER, or set REDIRECT_URI")
