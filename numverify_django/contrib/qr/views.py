"""Thin views: the desktop's page with the QR code, and the phone's, which the QR code leads to."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from ... import limits, pages, routing, session, uses
from ...models import Use, VerificationAttempt
from ...protocol.exceptions import NumberVerifyError
from ...protocol.phone import PhoneNumber
from ...views import LoginView, NumberVerificationView
from . import agents, journey, picture
from .forms import CodeForm
from .models import TRIES, QrLogin, Status

POLLS = (90, 60)  # that a browser may make in so many seconds; our script makes 20


def login_template(request: HttpRequest) -> str | None:
    """Return the desktop's login page for what looks like a desktop, unless the person said that it is none."""
    try:
        reverse("numverify_qr:show")
    except NoReverseMatch:  # a check says so
        return None
    is_desktop = request.GET.get("device") != "phone" and agents.is_desktop(request.headers)
    return "qr/login.html" if is_desktop else None


# The desktop


class ShowView(LoginView):
    """Ask for a QR code (POST), or show the one that this browser asked for last (GET)."""

    template = "qr/login.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show it, or what became of it."""
        row = journey.of_desktop(request)
        return show(request, row) if row else HttpResponseRedirect(reverse("numverify:login"))

    @sensitive_variables()
    def post(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Make a QR code for the number that was typed, or once more for that of the last one."""
        if "renew" not in request.POST:
            return super().post(request)
        row = journey.of_desktop(request)
        facts = journey.kept(request, row) if row else {}
        if not facts:
            return HttpResponseRedirect(reverse("numverify:login"))
        return self.begin(request, PhoneNumber(facts["number"]), facts["next"], facts["operator"])

    @sensitive_variables()
    def begin(  # type: ignore[override]  # the operator is not asked yet: there is nothing to wait for
        self, request: HttpRequest, number: PhoneNumber | None, next_url: str, chosen: str
    ) -> HttpResponse:
        """Make a QR code, and go where it is shown."""
        if not (number and (operator := routing.choose(request, number, chosen))):
            return self.ask(request, next_url)
        journey.show(request, operator, number, pages.safe_next(request, next_url))
        return HttpResponseRedirect(reverse("numverify_qr:show"))


class FinishView(NumberVerificationView):
    """Where the short code is typed."""

    http_method_names = ["post"]

    @sensitive_variables()
    def post(self, request: HttpRequest) -> HttpResponse:
        """Log in this browser, or say why not."""
        row = journey.of_desktop(request)
        if row is None:
            return HttpResponseRedirect(reverse("numverify:login"))
        if not row.is_open:
            return show(request, row)
        form = CodeForm(request.POST)
        if form.is_valid() and row.status != Status.PROVED:
            form.add_error("code", _("There is no code yet. Scan the QR code with your phone first."))
        return self._try(request, row, form) if form.is_valid() else show(request, row, form)

    @sensitive_variables()
    def _try(self, request: HttpRequest, row: QrLogin, form: CodeForm) -> HttpResponse:
        next_url = pages.safe_next(request, journey.kept(request, row).get("next"))
        is_right, error = journey.finish(request, row, form.cleaned_data["code"])
        if is_right is None:  # another answer to this page was quicker
            return HttpResponseRedirect(reverse("numverify_qr:show"))
        if error:
            return _show_refused(request, row, next_url)
        if is_right:  # from here on it is a login as any other
            attempt: VerificationAttempt = row.attempt  # type: ignore[assignment]  # the one that has just ended
            return HttpResponseRedirect(uses.TABLE[Use.LOGIN].destination(attempt, next_url))
        form.add_error("code", _wrong(TRIES - row.tries))
        return show(request, row, form)


def show(request: HttpRequest, row: QrLogin, form: CodeForm | None = None) -> HttpResponse:
    """Return the desktop's page of ``row``: with its QR code while it is open, else with what became of it."""
    facts = journey.kept(request, row)
    next_url = pages.safe_next(request, facts.get("next"))
    if row.status == Status.FINISHED:
        return _show_finished(request, next_url)
    if row.status == Status.REFUSED:
        return _show_refused(request, row, next_url)
    if not row.is_open or not facts:
        status = 410 if form else 200
        return pages.show(request, "qr/ended.html", next_url, status=status, text=_ended(row), renewable=bool(facts))
    phone_url = journey.address_of(request, facts)
    context: dict[str, Any] = {
        "form": form or CodeForm(),
        "phone_url": phone_url,
        "picture": picture.svg(phone_url),
        "until": row.expires_at,
    }
    return pages.show(request, "qr/desktop.html", next_url, status=400 if form else 200, **context)


def _show_finished(request: HttpRequest, next_url: str) -> HttpResponse:
    if not request.user.is_authenticated:
        return HttpResponseRedirect(reverse("numverify:login"))
    return pages.show(request, "already.html", next_url)


def _show_refused(request: HttpRequest, row: QrLogin, next_url: str) -> HttpResponse:
    attempt = row.attempt
    group = pages.group_of(attempt.reason) if attempt else pages.UNFINISHED
    context: dict[str, Any] = {"reference": attempt.reference_shown if attempt else ""}
    if request.user.is_authenticated:
        context |= {"own_numbers": session.own(request), "again_url": pages.confirm_url(next_url)}
    return pages.show_failure(request, group, next_url, **context)


def _ended(row: QrLogin) -> str:
    if row.status == Status.DECLINED:
        return _("The phone said no. Nobody was logged in.")
    if row.status == Status.CODE_FAILED:
        return _("Too many tries with the code. Nobody was logged in.")
    return _("Nobody was logged in.")


def _wrong(left: int) -> str:
    text = ngettext("That code isn't right. %(left)d try left.", "That code isn't right. %(left)d tries left.", left)
    return text % {"left": left}


class StatusView(NumberVerificationView):
    """What became of the QR code, for a script that asks now and then: it answers at once, and alike to strangers."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> JsonResponse:
        """Tell the status of the QR code that this browser asked for last."""
        browser = session.browser_of(request)
        if browser is None:
            return _status(None)
        limits.pace("qr_status", browser, *POLLS)
        return _status(journey.of_desktop(request))

    def refuse(self, request: HttpRequest, error: NumberVerifyError, next_url: str) -> HttpResponse:
        """Say no more than that it was too often."""
        response = JsonResponse({"status": "later", "text": ""}, status=429)
        response["Retry-After"] = str(POLLS[1])
        return response


def _status(row: QrLogin | None) -> JsonResponse:
    told: dict[str, tuple[str, str]] = {
        Status.SHOWN: ("waiting", ""),
        Status.ACCEPTED: ("opened", _("Your phone has opened it.")),
        Status.PROVED: ("code", _("Type the code your phone shows.")),
    }
    name, text = told.get(row.status, ("", "")) if row and row.is_open else ("ended", _("This QR code has ended."))
    if row and row.status == Status.DECLINED:
        name, text = "declined", _("The phone said no. Nobody was logged in.")
    return JsonResponse({"status": name, "text": text})


# The phone


class PhoneView(NumberVerificationView):
    """Where the QR code leads: who asks (GET, which does nothing), and the answer (POST)."""

    http_method_names = ["get", "head", "post"]

    def finish(self, response: HttpResponseBase) -> HttpResponseBase:
        """Keep the answer from Django's log of refusals as well: the address holds the token."""
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django's own
        return super().finish(response)

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse, and log nothing either."""
        return HttpResponseNotAllowed(self._allowed_methods())  # type: ignore[attr-defined]  # the stubs lack it

    @sensitive_variables()
    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        """Show who asks, the code, or that it is over."""
        row = journey.of_phone(request, token)
        if row is None:
            return _gone(request)
        if row.status == Status.FINISHED:
            return _notice(
                request,
                _("The other device is logged in"),
                _("This phone is not logged in. You can close this page."),
            )
        if not row.is_open:
            return _gone(request)
        if journey.is_asking(request, row):
            return HttpResponseRedirect(reverse("numverify_qr:show"))
        return _show_code(request, row) if row.status == Status.PROVED else _show_who(request, row)

    @sensitive_variables()
    async def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Go to the operator, or end it."""
        row = journey.of_phone(request, token)
        if row is None or not row.is_open or journey.is_asking(request, row):
            return _gone(request)
        if request.POST.get("answer") == "no":
            journey.decline(request, row)
            return _notice(request, _("You said no"), _("Nobody was logged in."))
        if request.POST.get("answer") != "yes" or row.status == Status.PROVED:
            return HttpResponseRedirect(request.path)
        attempt, url = await journey.accept(request, row, token, request.path)
        return pages.leave(request, attempt, url, request.path) if attempt else _gone(request)

    def refuse(self, request: HttpRequest, error: NumberVerifyError, next_url: str) -> HttpResponse:
        """Lead back here: the operator may be asked a little later, while time lasts."""
        return pages.show_refusal(request, error, request.path, **uses.TABLE[Use.QR].failure(request.path))


def _show_who(request: HttpRequest, row: QrLogin) -> HttpResponse:
    age = timezone.now() - row.created_at
    return pages.show(request, "qr/phone.html", "", row=row, minutes=max(0, age // timedelta(minutes=1)))


@sensitive_variables()
def _show_code(request: HttpRequest, row: QrLogin) -> HttpResponse:
    code = journey.code_of(request, row)
    if not code:  # another browser, or the session it was sealed for is gone
        return _gone(request)
    context: dict[str, Any] = {"code": f"{code[:3]} {code[3:]}", "spoken": " ".join(code), "until": row.expires_at}
    return pages.show(request, "qr/code.html", "", **context)


def _gone(request: HttpRequest) -> HttpResponse:
    """Return the one page for what is unknown, over, or another phone's."""
    return _notice(request, _("This QR code has ended"), _("Get a new one on the other device."), status=410)


def _notice(request: HttpRequest, heading: str, text: str, status: int = 200) -> HttpResponse:
    return pages.show(request, "qr/notice.html", "", status=status, heading=heading, text=text)
