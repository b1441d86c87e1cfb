"""Ask for a code, and log in with it."""

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib.auth import authenticate, load_backend, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ... import pages, session
from ...protocol.exceptions import Cancelled, Limited, Misconfigured, NumberVerifyError, Refused
from ...protocol.phone import PhoneNumber
from ...views import NumberVerificationView
from . import codes
from .backends import OneTimeCodeBackend
from .forms import CodeForm, NumberForm
from .models import LIFETIME, CodeLogin, Outcome

AnyView = TypeVar("AnyView", bound=NumberVerificationView)
Handler = Callable[[AnyView, HttpRequest], HttpResponse]

logger = logging.getLogger(__name__)

RUN_OUT = _("That code has run out. Send a new one.")
NOT_RIGHT = _("That code isn't right. Use the latest message.")


class Delivering(HttpResponseRedirect):
    """A redirect that delivers an Order once the browser has it: servers call ``close`` after the last byte.

    Where a middleware puts another response in its place nothing is sent, and the row stays ``asked``.
    """

    order: codes.Order | None = None

    def close(self) -> None:
        """Deliver, once."""
        order, self.order = self.order, None
        try:
            if order is not None:
                codes.deliver(order)
        finally:
            super().close()


def for_strangers(handler: Handler[AnyView]) -> Handler[AnyView]:
    """Return ``handler`` so that it answers who is not logged in: a code confirms nothing, and swaps no account."""

    @wraps(handler)
    def answer(view: AnyView, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return handler(view, request)
        posted = request.method == "POST"
        next_url = pages.safe_next(request, (request.POST if posted else request.GET).get("next"))
        return pages.show(request, "already.html", next_url, status=409 if posted else 200)

    return answer


class CodeView(NumberVerificationView):
    """What both pages have in common; the SIM is the other way in of theirs."""

    http_method_names = ["get", "head", "post"]

    def refuse(self, request: HttpRequest, error: NumberVerifyError, next_url: str) -> HttpResponse:
        """Return the page of what ``error`` (a NumberVerifyError) refused."""
        if isinstance(error, Limited):
            return pages.show_refusal(request, error, next_url, **_ways(next_url))
        logger.error("no code could be sent: %s", error)
        return _show_failure(request, "unavailable", next_url, status=503)

    def show(self, request: HttpRequest, name: str, form: Form, status: int = 200, **context: Any) -> HttpResponse:
        """Return the page that asks something."""
        next_url = pages.safe_next(request, form["next"].value())
        ask_url = reverse("numverify_otp:ask")
        urls = {"ask_url": ask_url, "enter_url": reverse("numverify_otp:enter")}
        urls["another_url"] = pages.with_next(ask_url, next_url)
        minutes = LIFETIME // timedelta(minutes=1)
        context |= {"form": form, "minutes": minutes} | urls
        return pages.show(request, f"otp/{name}.html", next_url, status=status, **context)


class AskView(CodeView):
    """Ask for the number (GET), and send it a code if it can log in here (POST)."""

    @for_strangers
    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form."""
        return self._ask(request, request.GET.get("next", ""))

    @for_strangers
    @sensitive_variables()
    def post(self, request: HttpRequest) -> HttpResponse:
        """Send a code to the number typed, or once more to the one that was typed before."""
        if "retry" in request.POST:
            number, next_url = _kept_number(request, request.POST["retry"]), request.POST.get("next", "")
            return self._send(request, number, next_url) if number else self._ask(request, next_url)
        form = NumberForm(request.POST)
        if not form.is_valid():
            return self.show(request, "ask", form, status=400)
        return self._send(request, form.cleaned_data["phone_number"], form.cleaned_data["next"])

    def _ask(self, request: HttpRequest, next_url: str) -> HttpResponse:
        return self.show(request, "ask", NumberForm(initial={"next": next_url}))

    @sensitive_variables()
    def _send(self, request: HttpRequest, number: PhoneNumber, next_url: str) -> HttpResponse:
        code_login, order = codes.ask(request, number)
        query = {"reference": code_login.reference, "next": pages.safe_next(request, next_url)}
        query |= {} if order else {"sent": "before"}  # and no other message so soon
        response = Delivering(f"{reverse('numverify_otp:enter')}?{urlencode(query)}")
        response.order = order
        return response


class EnterView(CodeView):
    """Ask for the code (GET), and log in with it (POST). The page is the same whether or not one was sent."""

    @for_strangers
    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form to the browser that asked for the code."""
        query = {name: request.GET.get(name, "") for name in ("reference", "next")}
        if _called(request, query["reference"]) is None:
            return _not_open(request, query["next"])
        return self.show(request, "enter", CodeForm(initial=query), is_early="sent" in request.GET)

    @for_strangers
    @sensitive_variables()
    def post(self, request: HttpRequest) -> HttpResponse:
        """Log in who typed the code, or say what to do."""
        form, next_url = CodeForm(request.POST), request.POST.get("next", "")
        code_login = _called(request, request.POST.get("reference", ""))
        if code_login is None:
            return _not_open(request, next_url)
        if not form.is_valid():
            return self.show(request, "enter", form, status=400)
        try:
            user = _finish(request, code_login, form.cleaned_data["code"])
        except Exception as error:  # also of LOGIN_POLICY, another backend or the database: a person sees no 500
            return _failed(request, code_login, error, next_url)
        if user is None:
            return self._again(request, form, code_login)
        return HttpResponseRedirect(pages.safe_next(request, next_url))

    def _again(self, request: HttpRequest, form: CodeForm, code_login: CodeLogin) -> HttpResponse:
        form.add_error("code", NOT_RIGHT if code_login.is_open else RUN_OUT)
        return self.show(request, "enter", form, status=400)


@sensitive_variables()
def _finish(request: HttpRequest, code_login: CodeLogin, code: str) -> AbstractBaseUser | None:
    """Log in the user whose code this is, and return them, or None."""
    user = authenticate(request, code_login=code_login, token=code)  # Django's signal masks what is called a token
    if user is None:
        return None
    if not isinstance(load_backend(user.backend), OneTimeCodeBackend):
        raise Misconfigured("another backend of AUTHENTICATION_BACKENDS took the place of ours")
    session.require(request)
    if not code_login.end(Outcome.LOGGED_IN, user=user):  # another request with the same code was quicker
        return None
    CodeLogin.objects.forget(session.browser_of(request))  # type: ignore[arg-type]  # whose the code is has one
    login(request, user)
    session.forget_proof(request)
    return user


def _failed(request: HttpRequest, code_login: CodeLogin, error: Exception, next_url: str) -> HttpResponse:
    """Return the page of what ``error`` made of the right code, and record it."""
    reference = code_login.reference_shown
    if isinstance(error, Cancelled):
        return _not_open(request, next_url)
    if isinstance(error, Refused):
        code_login.end(Outcome.REFUSED, reason=error.code)
        return _show_failure(request, "refused", next_url, status=403, reference=reference)
    codes.report(code_login, error)
    return _show_failure(request, "unavailable", next_url, status=503, reference=reference)


def _called(request: HttpRequest, reference: str) -> CodeLogin | None:
    """Return this browser's CodeLogin that ``reference`` (text) names, or None."""
    return CodeLogin.objects.called(reference, session.browser_of(request))


@sensitive_variables()
def _kept_number(request: HttpRequest, reference: str) -> PhoneNumber | None:
    """Return the PhoneNumber that this browser asked a code for, or None where it is kept no longer."""
    code_login = _called(request, reference)
    if code_login is None or not code_login.keeps_number:
        return None
    values = session.unsealed(session.browser_of(request), code_login.sealed)
    return PhoneNumber(values["number"]) if values else None


def _not_open(request: HttpRequest, next_url: str) -> HttpResponse:
    """Return the page of a code that this browser never asked for."""
    next_url = pages.safe_next(request, next_url)
    minutes = LIFETIME // timedelta(minutes=1)
    return pages.show_failure(request, pages.NOT_OPEN, next_url, status=400, minutes=minutes, **_ways(next_url))


def _show_failure(request: HttpRequest, name: str, next_url: str, status: int, **context: Any) -> HttpResponse:
    """Return a failure page of ours."""
    next_url = pages.safe_next(request, next_url)
    return pages.show(request, f"otp/{name}.html", next_url, status=status, **context, **_ways(next_url))


def _ways(next_url: str) -> dict[str, Any]:
    """Return what a failure page links to: this app to try again, and the SIM in place of the other way in."""
    urls = {"login_url": reverse("numverify_otp:ask"), "fallback_url": reverse("numverify:login")}
    return {name: pages.with_next(url, next_url) for name, url in urls.items()}
