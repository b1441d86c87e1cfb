"""REVERIFY_AFTER: a proof that grew old is asked for again, on the way to an ordinary page.

It never stands in the way: where it fails, or cannot even be tried, the page comes as if nothing had been asked, the
proof stays old, and nobody is logged out. A view that must not be seen then has ``number_verified_required``.
"""

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings as django_settings
from django.db import DatabaseError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from . import conf, flow, pages, sealing, session
from .models import Use, VerificationAttempt
from .protocol import profiles
from .protocol.exceptions import Misconfigured, NumberVerifyError
from .session import NumberVerificationRequest

logger = logging.getLogger(__name__)

PAUSE = timedelta(minutes=10)  # from one try of a session to the next, whatever became of it


def may_be_due(request: HttpRequest) -> bool:
    """Tell whether it is worth a look into the session: a visitor's page stays cacheable."""
    return _age() is not None and django_settings.SESSION_COOKIE_NAME in request.COOKIES


def is_due(request: NumberVerificationRequest) -> bool:
    """Tell whether this session's proof is older than REVERIFY_AFTER, and nothing was tried in PAUSE.

    The note of a try is lost where another tab saves an older copy of the session; what was begun has its row.
    """
    is_old = request.number_verification.is_old(_age())  # type: ignore[arg-type]  # ``may_be_due`` saw that it is set
    return is_old and not session.was_tried(request, PAUSE.total_seconds()) and not _begun(request).exists()


def _age() -> float | None:
    settings = conf.Settings() if conf.problems() else conf.get()  # checks tell what is wrong
    return settings.reverify_after


@sensitive_variables()
async def begin(request: NumberVerificationRequest) -> HttpResponse | None:
    """Return the answer that leads to the operator and back to this page, or None: nothing can be tried now."""
    known, here = request.number_verification, request.get_full_path()
    try:
        offered = conf.get().offered(known.operator or "")  # another may not vouch for it
        operator = profiles.select(offered, known.number)
        if operator is None or not pages.is_safe(request, here):  # nobody would come back to it
            return None
        asked: dict[str, Any] = {"use": Use.REVERIFY, "next_url": here, "user": request.user}
        attempt, url = await flow.begin(request, operator, known.number, **asked)
        if url is not None and _begun(request).exclude(pk=attempt.pk).exists():
            attempt.delete()  # another page of this session began at the same instant
            return None
    except (NumberVerifyError, DatabaseError) as error:
        level = logging.INFO if isinstance(error, NumberVerifyError) else logging.ERROR
        level = logging.ERROR if isinstance(error, Misconfigured) else level
        logger.log(level, "a number is not verified again: %s", getattr(error, "code", type(error).__name__))
        return None
    return pages.leave(request, attempt, url, here) if url else None


def _begun(request: HttpRequest) -> QuerySet[VerificationAttempt]:
    """Return the attempts that this browser's pages began in the last PAUSE."""
    browser = session.browser_of(request) or ""  # which is nobody's
    recent = VerificationAttempt.objects.filter(use=Use.REVERIFY, created_at__gt=timezone.now() - PAUSE)
    return recent.filter(browser_digest=sealing.digest(browser))
