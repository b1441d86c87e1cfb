"""What a person is shown: the page group of each reason, and the answers that several views give."""

import logging
import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.conf import settings as django_settings
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import render, resolve_url
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_variables

from . import conf, navigation
from .models import VerificationAttempt
from .protocol.exceptions import Limited, Misconfigured, NumberVerifyError

logger = logging.getLogger(__name__)

# Not no-referrer: under it browsers post a form with "Origin: null", which Django's CSRF check refuses.
REFERRER_POLICY = "same-origin"
NOT_OPEN, UNFINISHED = "not_open", "unfinished"
# Every other reason is an error, whose page says that the check did not finish.
GROUPS = {
    "not_on_mobile_network": "not_on_mobile_network",
    "number_mismatch": "not_confirmed",
    "account_unknown": "not_confirmed",
    "account_inactive": "not_confirmed",
    "staff_refused": "not_confirmed",
    "operator_not_bound": "not_confirmed",
    "policy_refused": "not_confirmed",
    "user_mismatch": "not_confirmed",
    "number_taken": "not_confirmed",
    "code_failed": NOT_OPEN,
    "cannot_determine": "cannot_determine",
    "not_covered": "cannot_determine",
    "consent_required": "consent_required",
    "access_denied": "stopped",
    "expired": NOT_OPEN,
    "cancelled": NOT_OPEN,
    "state_unknown": NOT_OPEN,
    "foreign_browser": NOT_OPEN,
    "replayed": NOT_OPEN,
    "too_many_tries": "too_many",
    "budget_spent": "too_many",
}

Answer = TypeVar("Answer", bound=HttpResponseBase)
Told = dict[str, Any]  # JSON, for an application

LOGIN = "login.html"
LOGIN_PAGES: list[Callable[[HttpRequest], str | None]] = []  # the first to return a template has the login page


def group_of(reason: str) -> str:
    """Return the page group of ``reason``: several reasons share a page, so that it tells a stranger nothing."""
    return GROUPS.get(reason, UNFINISHED)


def safe_next(request: HttpRequest, candidate: str | None) -> str:
    """Return ``candidate`` where it leads to this site, else LOGIN_REDIRECT_URL."""
    if is_safe(request, candidate):
        return candidate  # type: ignore[return-value]  # None leads nowhere
    try:
        return resolve_url(django_settings.LOGIN_REDIRECT_URL)
    except NoReverseMatch:  # a check says so
        return get_script_prefix()


def is_safe(request: HttpRequest, url: str | None) -> bool:
    """Tell whether ``url`` (text or None) leads to this site."""
    # Not a relative one: "#top" would lead back to the callback's own address, with its code.
    if not (url or "").startswith(("/", "http://", "https://")):
        return False
    hosts, https = {request.get_host()}, request.is_secure()
    return url_has_allowed_host_and_scheme(url, allowed_hosts=hosts, require_https=https)


def guard(response: Answer) -> Answer:
    """Return ``response`` so that it is kept in no cache and shown in no frame, and other sites are not told of it."""
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers.setdefault("Referrer-Policy", REFERRER_POLICY)
    return response


def guarded(view: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return ``view`` with its answers guarded."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Answer:
        return guard(view(request, *args, **kwargs))

    return answer


def show(
    request: HttpRequest,
    template: str,
    next_url: str,
    status: int = 200,
    told: Callable[[], Told] | None = None,
    **context: Any,
) -> HttpResponse:
    """Return the page ``template`` with what every page needs, unless ``context`` has it otherwise.

    An application gets instead what ``told`` (a function, if any) returns: a dict of JSON.
    """
    if told is not None and navigation.wants_json(request):
        return tell(told(), status)
    context = {
        "site_name": site_name(request),
        "signed_in": request.user.is_authenticated,
        "action_url": reverse("numverify:login"),
        "login_url": with_next(reverse("numverify:login"), next_url),
        "fallback_url": fallback_or_none(next_url),
        "next_url": next_url,
        "cancel_url": safe_next(request, ""),  # not next: that page would ask again
    } | context
    return render(request, f"numverify/{template}", context, status=status)


def go(request: HttpRequest, url: str, told: Told, status: int = 200) -> HttpResponse:
    """Return the redirect to ``url``; an application gets ``told`` (a dict of JSON) and ``status`` instead."""
    return tell(told, status) if navigation.wants_json(request) else HttpResponseRedirect(url)


def tell(told: Told, status: int) -> JsonResponse:
    """Return ``told`` (a dict of JSON), as openapi.yaml describes it."""
    response = JsonResponse(told, status=status, json_dumps_params={"ensure_ascii": False})
    # By us; Django would mail ADMINS a report of each login during an outage.
    response._has_been_logged = status == 503  # type: ignore[attr-defined]  # Django's own, without a name in the stubs
    return response


def form(request: HttpRequest, **told: Any) -> Told:
    """Return ``told`` with what an application sends a form with."""
    return told | {"csrf_token": get_token(request)}


def refusal(error: str, reference: str | None = "") -> Told:
    """Return what an application is told: a page group, never a reason, and the reference as people read it."""
    return {"error": error, "reference": reference or None}


def login_template(request: HttpRequest) -> str:
    """Return the template of the login page: ours, or that of an app which has a better one for this browser."""
    return next(filter(None, (choose(request) for choose in LOGIN_PAGES)), LOGIN)


def show_failure(request: HttpRequest, group: str, next_url: str, status: int = 200, **context: Any) -> HttpResponse:
    """Return the failure page of ``group``."""
    told = partial(refusal, group, context.get("reference"))
    minutes = max(1, round(_lifetime() / 60))
    facts: dict[str, Any] = {"group": group, "minutes": minutes, "status": status, "told": told}
    return show(request, f"failed/{group}.html", next_url, **facts | context)


def show_refusal(request: HttpRequest, error: NumberVerifyError, next_url: str, **context: Any) -> HttpResponse:
    """Return the page of a start that ``error`` (a NumberVerifyError) refused before it opened an attempt."""
    if isinstance(error, Misconfigured):  # the site's developer reads why in the log and in the checks
        logger.error("numverify_django is misconfigured: %s", error)
        return show_failure(request, UNFINISHED, "", status=503, **context)
    logger.info("start refused: %s", error.code)
    if not isinstance(error, Limited):
        response = show_failure(request, UNFINISHED, next_url, status=503, **context)
        # By us; Django would mail ADMINS a report of each start during an outage.
        response._has_been_logged = True  # type: ignore[attr-defined]  # as above
        return response
    seconds = math.ceil(error.retry_after)
    response = show_failure(request, group_of(error.code), next_url, status=429, retry_after=seconds, **context)
    response["Retry-After"] = str(seconds)
    return response


def status_of(group: str) -> int:
    """Return the status of what an application is told."""
    return 503 if group == UNFINISHED else 403


def to_failed(request: HttpRequest, attempt: VerificationAttempt, group: str) -> HttpResponse:
    """Return the redirect to the page of an attempt that failed: its address has a reference, never a reason.

    An application is told at once the ``group`` of that page.
    """
    url = f"{reverse('numverify:failed')}?{urlencode({'reference': attempt.reference})}"
    return go(request, url, refusal(group, attempt.reference_shown), status_of(group))


@sensitive_variables()
def leave(request: HttpRequest, attempt: VerificationAttempt, url: str | None, next_url: str) -> HttpResponse:
    """Return the answer that sends the browser on its way, to the operator or to the page of what failed."""
    if url is None:
        return to_failed(request, attempt, group_of(attempt.reason))
    told = {"authorization_url": url, "reference": attempt.reference_shown}
    if conf.get().redirect_mode == "interstitial" and not navigation.wants_json(request):
        return show(request, "checking.html", next_url, authorization_url=url)
    return go(request, url, told)


def site_name(request: HttpRequest) -> str:
    """Return what people call this site (text)."""
    try:
        return get_current_site(request).name
    except (ImproperlyConfigured, ObjectDoesNotExist):  # django.contrib.sites without a row of this site
        return request.get_host()


def with_next(url: str, next_url: str) -> str:
    """Return ``url`` with ``next_url`` as its ``next``."""
    joiner = "&" if "?" in url else "?"
    return f"{url}{joiner}{urlencode({'next': next_url})}" if next_url else url


def confirm_url(next_url: str) -> str:
    """Return where a signed-in person confirms a number of theirs, and is led to ``next_url`` afterwards."""
    return f"{reverse('numverify:login')}?{urlencode({'next': next_url, 'confirm': 'yes'})}"


def fallback(next_url: str) -> str:
    """Return the other way in, or an empty text; raise Misconfigured or NoReverseMatch where it is set wrongly."""
    chosen = conf.get().fallback_url
    return with_next(resolve_url(chosen), next_url) if chosen else ""


def fallback_or_none(next_url: str) -> str:
    """Return the other way in, or an empty text, also where it is set wrongly."""
    try:
        return fallback(next_url)
    except (Misconfigured, NoReverseMatch):  # must not break the page that tells of it; a check says why
        return ""


def _lifetime() -> int:
    try:
        return conf.get().attempt_lifetime
    except Misconfigured:
        return conf.Settings().attempt_lifetime
