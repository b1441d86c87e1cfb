"""REVERIFY_AFTER: a proof that grew old is asked for again, on the way to an ordinary page.

It never stands in the way: where it fails, or cannot even be tried, the page comes as if nothing had been asked, the
proof stays old, and nobody is logged out. A view that must not be seen then has ``number_verified_required``.
"""

import logging
from datetime import timedelta

from django.utils import timezone

from . import conf, flow, pages, sealing, session
from .models import Use, VerificationAttempt
from .protocol import profiles
from .protocol.exceptions import Misconfigured, NumberVerifyError

logger = logging.getLogger(__name__)

PAUSE = timedelta(minutes=10)  # from one try of a browser to the next, whatever became of it


def is_due(request):
    """Tell whether this session's proof is older than REVERIFY_AFTER, and nothing was tried in PAUSE."""
    settings = conf.Settings() if conf.problems() else conf.get()  # checks tell what is wrong
    age = settings.reverify_after
    return age is not None and request.number_verification.is_old(age) and not _tries(request).exists()


def begin(request):
    """Return the answer that leads to the operator and back to this page, or None: nothing can be tried now."""
    known = request.number_verification
    operator = profiles.select(conf.get().offered(known.operator), known.number)  # another may not vouch for it
    if operator is None:
        return None
    here = request.get_full_path()
    try:
        attempt, url = flow.begin(request, operator, known.number, use=Use.REVERIFY, next_url=here, user=request.user)
    except NumberVerifyError as error:
        level = logging.ERROR if isinstance(error, Misconfigured) else logging.INFO
        logger.log(level, "a number is not verified again: %s: %s", error.code, error)
        return None
    if url is not None and _tries(request).exclude(pk=attempt.pk).exists():
        attempt.delete()  # another page of this browser began at the same instant
        return None
    return url and pages.leave(request, attempt, url, here)


def _tries(request):
    """Return what this browser tried in PAUSE, be it for this or for anything else."""
    browser = session.browser_of(request) or ""
    recent = VerificationAttempt.objects.filter(created_at__gt=timezone.now() - PAUSE)
    return recent.filter(browser_digest=sealing.digest(browser))
