"""``request.number_verification`` on every request, and the redirects of StepUpRequired and REVERIFY_AFTER."""

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.views import redirect_to_login
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.urls import reverse

from . import flow, navigation, pages, reverify, session
from .models import Use
from .protocol.exceptions import NumberVerifyError
from .running import arun, run
from .session import NumberVerification, NumberVerificationRequest, StepUpRequired

Answer = HttpResponseBase | Awaitable[HttpResponseBase]
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")  # methods that change nothing (RFC 9110 9.2.1)


class NumberVerificationMiddleware:
    """Stands after AuthenticationMiddleware, under WSGI and under ASGI."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        self._answer: Callable[[HttpRequest], Answer] = self._answered
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
            self._answer = self._aanswered
            self.process_view = self.aprocess_view  # type: ignore[method-assign, assignment]  # what Django awaits

    def __call__(self, request: HttpRequest) -> Answer:
        known = NumberVerification(request)
        request.number_verification = known  # type: ignore[attr-defined]  # a NumberVerificationRequest from now on
        request.anumber_verification = known.aread  # type: ignore[attr-defined]  # as above
        return self._answer(request)  # what Django awaits where it is to be awaited

    def _answered(self, request: HttpRequest) -> Answer:
        answer = self.get_response(request)
        _leave_cookie(request)
        return answer

    async def _aanswered(self, request: HttpRequest) -> HttpResponseBase:
        answer = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        _leave_cookie(request)
        return answer

    def process_view(
        self, request: NumberVerificationRequest, view: object, args: object, kwargs: object
    ) -> HttpResponse | None:
        """Ask for the SIM again where a proof grew old; a script is told, until its person has opened a page."""
        return run(_asked_again(request)) if _may_ask(request) else None

    async def aprocess_view(
        self, request: NumberVerificationRequest, view: object, args: object, kwargs: object
    ) -> HttpResponse | None:
        """Do the same in an event loop."""
        return await arun(_asked_again(request)) if _may_ask(request) else None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer StepUpRequired; Django tells of what a view raised alone, and in a thread."""
        return step_up(request) if isinstance(exception, StepUpRequired) else None


def _leave_cookie(request: HttpRequest) -> None:
    """Let the browser keep its cookie where a script found no session behind it: there may be a newer one by now.

    A proof gives the session a new key. Django has the old one's cookie deleted, which is the new one's where that
    answer comes after the proof's: the person would be logged out. Logging out deletes the cookie as ever, and so does
    a page; a key without a session is nothing to plant: Django never adopts it.
    """
    store = getattr(request, "session", None)
    name = settings.SESSION_COOKIE_NAME
    is_gone = isinstance(store, SessionBase) and store.is_empty() and not store.modified
    if name in request.COOKIES and is_gone and not navigation.is_page(request):
        del request.COOKIES[name]  # which Django asks, once this request is done


def step_up(request: HttpRequest) -> HttpResponse:
    """Return what StepUpRequired is answered with: log in, confirm on our page, or go to the operator at once.

    For a middleware of the site's, which stands after ours: what that raises is Django's own 403.
    """
    try:
        return pages.guard(_asked_now(request))
    except NumberVerifyError as error:
        return pages.guard(pages.show_refusal(request, error, request.get_full_path()))


def _asked_now(request: HttpRequest) -> HttpResponse:
    if navigation.is_script(request) or not navigation.is_page(request):
        return _told(request)
    here = request.get_full_path()
    if _is_visitor(request):
        return redirect_to_login(here if request.method in SAFE else _referring_page(request, here))
    return run(_confirm(request, here))


def _is_visitor(request: HttpRequest) -> bool:
    user = request.user  # or None, by UNAUTHENTICATED_USER of Django REST framework
    return user is None or not user.is_authenticated


async def _confirm(request: HttpRequest, here: str) -> HttpResponse:
    if request.method not in SAFE:
        session.note_once(request, stopped=True)
        form_url = _referring_page(request, here)
        return HttpResponseRedirect(pages.confirm_url(pages.with_next(reverse("numverify:again"), form_url)))
    own = next(iter(session.own(request)), None)
    if request.method != "GET" or own is None or navigation.is_led_here(request) or _has_own_page(request):
        return HttpResponseRedirect(pages.confirm_url(here))
    user: AbstractBaseUser = request.user  # type: ignore[assignment]  # who has a number
    attempt, url = await flow.begin(request, own.operator, own.number, use=Use.STEP_UP, next_url=here, user=user)
    return pages.leave(request, attempt, url, here)


def _may_ask(request: HttpRequest) -> bool:
    """Tell whether REVERIFY_AFTER may be about this request; nothing is read for that."""
    if not reverify.may_be_due(request) or navigation.is_ours(request.resolver_match):
        return False
    return not navigation.shows_token(request) and (navigation.is_page(request) or navigation.is_script(request))


async def _asked_again(request: NumberVerificationRequest) -> HttpResponse | None:
    """Return the answer to a request whose proof grew old, or None: the page comes."""
    if not reverify.is_due(request):
        return None
    if navigation.is_script(request):
        return pages.guard(_told(request))
    session.note_try(request)
    if request.method != "GET" or navigation.is_led_here(request) or _has_own_page(request):
        return None
    answer = await reverify.begin(request)
    return answer and pages.guard(answer)


def step_up_facts(request: HttpRequest) -> dict[str, str]:
    """Return what a script is told: where a person confirms, who is led back to the page that the script runs on."""
    page = _referring_page(request, "")
    url = redirect_to_login(page).url if _is_visitor(request) else pages.confirm_url(page)
    return {"error": "step_up_required", "authorization_url": url}


def _told(request: HttpRequest) -> JsonResponse:
    facts = step_up_facts(request)
    # A header as well, as those who know mozilla-django-oidc look for one.
    return JsonResponse(facts, status=403, headers={"authorization_url": facts["authorization_url"]})


def _referring_page(request: HttpRequest, otherwise: str) -> str:
    """Return the page of this site that the request comes from, or ``otherwise``."""
    referer = request.headers.get("Referer", "")
    return referer if pages.is_safe(request, referer) else pages.safe_next(request, otherwise)


def _has_own_page(request: HttpRequest) -> bool:
    """Tell whether this browser has a better page than ours: a desktop has no SIM, and is offered a QR code."""
    return pages.login_template(request) != pages.LOGIN
